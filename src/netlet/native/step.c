/* One training step of one net, compiled for that very net: forward, loss, backward; and its scores.
 *
 * `chain_to_c.py` writes what comes before this file: HALF, IMAGES, CLASSES, HEAD, HEAD_BIAS, STAGES and, for each stage,
 * a compound literal STAGE_k of the struct below. All sizes being constants, the compiler unrolls every loop over a
 * tile and keeps the tile's sums in registers.
 *
 * A stage is: convolution, [ReLU], [batch norm], [dropout], [ReLU], [2x2 max pooling]. Maps lie as n h w c, channels
 * rounded up to whole vectors of LANES where they are written by the convolution, and to PAIR where they are read by it.
 *
 * Every thread takes its share of the images through the whole net; threads meet where batch norm needs sums over the
 * batch, and their sums are added in a fixed order: the same number of threads gives the same bits.
 *
 * HALF: what convolutions read is bfloat16, what they sum is float, as under torch.autocast.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#define LANES 16
#define INLINE static inline __attribute__((always_inline))
#define ALONE __attribute__((noinline))
#define UNROLLED _Pragma("GCC unroll 64")
#define ROLLED _Pragma("GCC unroll 1")
#define MAX_THREADS 64
#define MOST 32                  /* vectors that any machine has registers for; sizes must be literals to stay in them */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t bits __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4)));

typedef struct {
    int in, in_h, in_w;          /* of what it reads: channels, height, width */
    int out, h, w;               /* of what the convolution gives */
    int kernel, stride, padding;
    int bias, relu_first, norm, dropout, relu, pool;
    int out_h, out_w;            /* of what leaves the stage */
    int rows, cols, blocks;      /* tile of the forward pass: pixels and vectors of channels whose sums are in registers */
    int back_rows, back_cols, back_blocks;       /* tile of the input's gradient */
    int grad_rows, grad_cols, grad_blocks;       /* tile of the weights' gradient: kernel rows, elements of one, vectors */
} Stage;

typedef struct {                 /* where torch keeps one stage's tensors; NULL where it has none */
    float *weight, *bias, *gamma, *beta, *mean, *var;
    float *d_weight, *d_bias, *d_gamma, *d_beta;
    float epsilon, momentum, dropout;
} Tensors;

typedef struct {
    Tensors stage[STAGES];
    float *head, *head_bias, *d_head, *d_head_bias;
    void *arena;
    int threads;
} Net;

/* ---- numbers: float, or bfloat16 where HALF ---- */

#if HALF
#define PAIR 2
typedef uint16_t elem;

INLINE vec load(const elem *p) {
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16);
}

INLINE void store(elem *p, vec v) {
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)v));
}

INLINE elem narrowed(float value) {
    return (elem)_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(value)), 0);
}

/* a + w * x, each lane of w holding a pair of numbers, x pointing to a pair that all lanes share. */
INLINE vec mac(vec a, vec w, const void *x) {
    int32_t pair;
    memcpy(&pair, x, 4);
    return (vec)_mm512_dpbf16_ps((__m512)a, (__m512bh)w, (__m512bh)_mm512_set1_epi32(pair));
}

/* Two neighbours' lanes side by side: what `mac` takes for w. */
INLINE vec paired(vec first, vec second) {
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)first));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)second));
    return (vec)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
#else
#define PAIR 1
typedef float elem;
INLINE vec load(const elem *p) { return *(const vec *)p; }
INLINE void store(elem *p, vec v) { *(vec *)p = v; }
INLINE elem narrowed(float value) { return value; }
INLINE vec mac(vec a, vec w, const void *x) { return a + w * *(const float *)x; }
#endif

INLINE vec read(const float *p) { return *(const vec *)p; }
INLINE vec chosen(bits mask, vec a, vec b) { return (vec)(((bits)a & mask) | ((bits)b & ~mask)); }
INLINE vec positive(vec v) { return chosen(v > 0.0f, v, v - v); }

/* ---- sizes ---- */

INLINE int up(int n, int to) { return (n + to - 1) / to * to; }
INLINE int pitch(Stage s) { return up(s.in, PAIR); }                /* from pixel to pixel of what a stage reads */
INLINE int lanes(Stage s) { return up(s.out, LANES); }              /* from pixel to pixel of what it gives */
INLINE int padded_h(Stage s) { return s.in_h + 2 * s.padding; }
INLINE int padded_w(Stage s) { return s.in_w + 2 * s.padding; }
INLINE int x_row(Stage s) { return padded_w(s) * pitch(s); }
INLINE size_t x_size(Stage s) { return (size_t)padded_h(s) * x_row(s); }
INLINE size_t y_size(Stage s) { return (size_t)s.h * s.w * lanes(s); }
INLINE size_t g_size(Stage s) { return (size_t)s.out_h * s.out_w * lanes(s); }
INLINE int run(Stage s) { return up(s.kernel * pitch(s), PAIR); }   /* numbers under one row of the kernel */
INLINE size_t w_size(Stage s) { return (size_t)s.kernel * run(s) * lanes(s); }
INLINE int back_pitch(Stage s) { return up(s.out, PAIR); }
INLINE int back_row(Stage s) { return (s.in_w + s.kernel - 1) * back_pitch(s); }
INLINE size_t back_size(Stage s) { return (size_t)(s.in_h + s.kernel - 1) * back_row(s); }
INLINE int back_run(Stage s) { return s.kernel * back_pitch(s); }
INLINE int back_lanes(Stage s) { return up(s.in, LANES); }
INLINE size_t back_w_size(Stage s) { return (size_t)s.kernel * back_run(s) * back_lanes(s); }
INLINE int pairs(Stage s) { return (s.w + PAIR - 1) / PAIR; }

/* ---- memory ---- */

typedef struct {                 /* one thread's own */
    float *sum, *square;         /* over its images: of y and y^2, then of dz and dz * normalised y */
    float *d_weight, *d_bias;
    float *scale, *shift, *centre, *inverse, *gain, *mean_dz, *mean_dzy;
    float *dz;                   /* one image's, where a pooling scatters it */
    elem *dy;                    /* one image's, spread and padded for the input's gradient */
    float *dy_pairs;             /* one image's, for the weights' gradient */
    float *x_pairs;
} Own;

typedef struct {
    elem *x[STAGES], *y[STAGES], *g[STAGES];
    elem *weight[STAGES], *back_weight[STAGES];
    uint16_t *kept[STAGES];      /* by dropout: a bit for each lane */
    Own own[MAX_THREADS][STAGES];
    float *d_head[MAX_THREADS], *d_head_bias[MAX_THREADS];
    double loss[MAX_THREADS][8]; /* a cache line each */
    int64_t correct[MAX_THREADS][8];
} Places;

INLINE void *take(char **at, size_t bytes) {
    char *here = *at;
    *at += (bytes + LANES * 8 + 63) / 64 * 64; /* a vector may be read beyond the end */
    return here;
}

static const Stage stages[STAGES];

static size_t lay_out(char *arena, int threads, Places *p) {
    char *at = arena;
    for (int k = 0; k < STAGES; k++) {
        const Stage s = stages[k];
        p->x[k] = take(&at, IMAGES * x_size(s) * sizeof(elem));
        p->y[k] = take(&at, IMAGES * y_size(s) * sizeof(elem));
        p->g[k] = take(&at, IMAGES * g_size(s) * sizeof(elem));
        p->weight[k] = take(&at, w_size(s) * sizeof(elem));
        p->back_weight[k] = take(&at, back_w_size(s) * sizeof(elem));
        p->kept[k] = take(&at, s.dropout ? IMAGES * y_size(s) / LANES * 2 : 0);
    }
    for (int t = 0; t < threads; t++) {
        for (int k = 0; k < STAGES; k++) {
            const Stage s = stages[k];
            Own *own = &p->own[t][k];
            float **small[] = {&own->sum, &own->square, &own->d_bias, &own->scale, &own->shift, &own->centre,
                               &own->inverse, &own->gain, &own->mean_dz, &own->mean_dzy};
            for (size_t i = 0; i < sizeof small / sizeof *small; i++) *small[i] = take(&at, lanes(s) * 4);
            own->d_weight = take(&at, w_size(s) * 4);
            own->dz = take(&at, y_size(s) * 4);
            own->dy = take(&at, back_size(s) * sizeof(elem));
            own->dy_pairs = take(&at, (size_t)s.h * pairs(s) * lanes(s) * 4);
            own->x_pairs = take(&at, HALF ? (x_size(s) + (size_t)s.stride * pitch(s)) * 4 : 0);
        }
        p->d_head[t] = take(&at, CLASSES * lanes(stages[STAGES - 1]) * 4);
        p->d_head_bias[t] = take(&at, CLASSES * 4);
    }
    return (size_t)(at - arena);
}

size_t netlet_arena(int threads) {
    static Places p;
    return lay_out(NULL, threads, &p) + sizeof p + 64;
}

/* ---- convolution ---- */

typedef struct {                 /* a window slid over maps that lie as h w c */
    int kernel, run;             /* rows of the window; numbers in one, a multiple of PAIR */
    int row;                     /* from row to row of what is read */
    int down, right;             /* from window to window of what is read */
    int h, w, blocks;            /* windows, and vectors given for each */
    int tile_rows, tile_cols, tile_blocks;
    int stride, edge, filled;    /* rows of what is read: those between windows, of zeros above, and with numbers */
} Slide;

INLINE void slide_tile(Slide s, const elem *x, const elem *w, const float *start, elem *y, vec *sum, vec *square,
                       int rows, int cols, int first, int last) {
    const int blocks = s.tile_blocks;
    vec a[MOST];
    UNROLLED for (int b = 0; b < blocks; b++) {
        vec from = start ? read(start + b * LANES) : (vec){0};
        UNROLLED for (int i = 0; i < rows * cols; i++) a[i * blocks + b] = from;
    }
    ROLLED for (int i = first; i < last; i++) {
        ROLLED for (int j = 0; j < s.run / PAIR; j++) {
            const elem *xj = x + i * s.row + j * PAIR, *wj = w + (i * (s.run / PAIR) + j) * s.blocks * LANES * PAIR;
            vec wb[MOST];
            UNROLLED for (int b = 0; b < blocks; b++) wb[b] = *(const vec *)(wj + b * LANES * PAIR);
            UNROLLED for (int r = 0; r < rows; r++)
                UNROLLED for (int c = 0; c < cols; c++)
                    UNROLLED for (int b = 0; b < blocks; b++) {
                        const int at = (r * cols + c) * blocks + b;
                        a[at] = mac(a[at], wb[b], xj + r * s.down + c * s.right);
                    }
        }
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int c = 0; c < cols; c++)
            UNROLLED for (int b = 0; b < blocks; b++) {
                vec v = a[(r * cols + c) * blocks + b];
                store(y + ((r * s.w + c) * s.blocks + b) * LANES, v);
                if (sum) sum[b] += v, square[b] += v * v;
            }
}

INLINE void slide_band(Slide s, const elem *x, const elem *w, const float *start, elem *y, vec *sum, vec *square,
                       int row, int rows) {
    const int whole = s.w / s.tile_cols * s.tile_cols, rest = s.w - whole;
    /* Rows of the kernel that meet more than zeros somewhere in the band. */
    const int above = s.edge - (row + rows - 1) * s.stride, below = s.edge + s.filled - row * s.stride;
    const int first = above > 0 ? above : 0, last = below < s.kernel ? below : s.kernel;
    x += row * s.down, y += row * s.w * s.blocks * LANES;
    ROLLED for (int c = 0; c < whole; c += s.tile_cols)
        slide_tile(s, x + c * s.right, w, start, y + c * s.blocks * LANES, sum, square, rows, s.tile_cols, first, last);
    if (rest)
        slide_tile(s, x + whole * s.right, w, start, y + whole * s.blocks * LANES, sum, square, rows, rest, first, last);
}

/* Sums of y and y^2 are added to `sum` and `square` where these are given. */
INLINE void slide(Slide s, const elem *x, const elem *w, const float *start, elem *y, float *sum, float *square) {
    const int whole = s.h / s.tile_rows * s.tile_rows, rest = s.h - whole;
    ROLLED for (int b = 0; b < s.blocks; b += s.tile_blocks) {
        const elem *wb = w + b * LANES * PAIR;
        const float *from = start ? start + b * LANES : NULL;
        vec sums[MOST], squares[MOST];
        UNROLLED for (int i = 0; i < s.tile_blocks; i++) sums[i] = squares[i] = (vec){0};
        vec *into = sum ? sums : NULL, *into_squares = sum ? squares : NULL;
        ROLLED for (int r = 0; r < whole; r += s.tile_rows)
            slide_band(s, x, wb, from, y + b * LANES, into, into_squares, r, s.tile_rows);
        if (rest) slide_band(s, x, wb, from, y + b * LANES, into, into_squares, whole, rest);
        if (sum)
            UNROLLED for (int i = 0; i < s.tile_blocks; i++) {
                *(vec *)(sum + (b + i) * LANES) += sums[i];
                *(vec *)(square + (b + i) * LANES) += squares[i];
            }
    }
}

INLINE Slide forward_slide(Stage s) {
    return (Slide){s.kernel, run(s), x_row(s), s.stride * x_row(s), s.stride * pitch(s), s.h, s.w,
                   lanes(s) / LANES, s.rows, s.cols, s.blocks, s.stride, s.padding, s.in_h};
}

INLINE Slide back_slide(Stage s) {
    return (Slide){s.kernel, back_run(s), back_row(s), back_row(s), back_pitch(s), s.in_h, s.in_w,
                   back_lanes(s) / LANES, s.back_rows, s.back_cols, s.back_blocks,
                   1, s.kernel - 1 - s.padding, (s.h - 1) * s.stride + 1};
}

INLINE void grad_tile(Stage s, const elem *x, const float *dy, float *d_weight, int rows, int cols) {
    /* Where HALF, x is pairs of pixels and dy pairs of vectors; an element of either takes four bytes in any case. */
    const int blocks = s.grad_blocks, all = lanes(s) / LANES;
    const char *bytes = (const char *)x;
    vec a[MOST];
    UNROLLED for (int i = 0; i < rows * cols * blocks; i++) a[i] = (vec){0};
    ROLLED for (int h = 0; h < s.h; h++) {
        ROLLED for (int w = 0; w < pairs(s); w++) {
            const char *xw = bytes + 4 * (h * s.stride * x_row(s) + w * PAIR * s.stride * pitch(s));
            const float *dw = dy + (h * pairs(s) + w) * all * LANES;
            vec d[MOST];
            UNROLLED for (int b = 0; b < blocks; b++) d[b] = read(dw + b * LANES);
            UNROLLED for (int r = 0; r < rows; r++)
                UNROLLED for (int c = 0; c < cols; c++)
                    UNROLLED for (int b = 0; b < blocks; b++) {
                        const int at = (r * cols + c) * blocks + b;
                        a[at] = mac(a[at], d[b], xw + 4 * (r * x_row(s) + c));
                    }
        }
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int c = 0; c < cols; c++)
            UNROLLED for (int b = 0; b < blocks; b++)
                *(vec *)(d_weight + ((r * run(s) + c) * all + b) * LANES) += a[(r * cols + c) * blocks + b];
}

INLINE void grad_band(Stage s, const elem *x, const float *dy, float *d_weight, int rows) {
    const int wide = s.kernel * pitch(s), whole = wide / s.grad_cols * s.grad_cols, rest = wide - whole;
    ROLLED for (int c = 0; c < whole; c += s.grad_cols)
        grad_tile(s, (const elem *)((const char *)x + 4 * c), dy, d_weight + c * lanes(s), rows, s.grad_cols);
    if (rest)
        grad_tile(s, (const elem *)((const char *)x + 4 * whole), dy, d_weight + whole * lanes(s), rows, rest);
}

INLINE void weight_gradient(Stage s, const elem *x, const float *dy, float *d_weight) {
    const int whole = s.kernel / s.grad_rows * s.grad_rows, rest = s.kernel - whole;
    ROLLED for (int b = 0; b < lanes(s) / LANES; b += s.grad_blocks) {
        ROLLED for (int r = 0; r < whole; r += s.grad_rows)
            grad_band(s, (const elem *)((const char *)x + 4 * r * x_row(s)), dy + b * LANES,
                      d_weight + r * run(s) * lanes(s) + b * LANES, s.grad_rows);
        if (rest)
            grad_band(s, (const elem *)((const char *)x + 4 * whole * x_row(s)), dy + b * LANES,
                      d_weight + whole * run(s) * lanes(s) + b * LANES, rest);
    }
}

/* Each element beside the one a window further right. */
INLINE const elem *x_in_pairs(Stage s, const elem *x, float *pairs_of_x) {
#if HALF
    const int apart = s.stride * pitch(s), n = (int)x_size(s);
    ROLLED for (int i = 0; i < n; i += LANES) {
        __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(x + i)));
        __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(x + i + apart)));
        _mm512_storeu_si512(pairs_of_x + i, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
    return (const elem *)pairs_of_x;
#else
    (void)s, (void)pairs_of_x;
    return x;
#endif
}

/* Torch's weights, out in kernel kernel, as the slides read them. */
INLINE void pack(Stage s, const float *weight, elem *ahead, elem *back, int out_from, int out_to) {
    const int k = s.kernel, in_blocks = back_lanes(s), out_blocks = lanes(s);
    for (int o = out_from; o < out_to; o++)
        for (int i = 0; i < s.in; i++)
            for (int r = 0; r < k; r++)
                for (int c = 0; c < k; c++) {
                    const elem value = narrowed(weight[((o * s.in + i) * k + r) * k + c]);
                    const int j = c * pitch(s) + i, j_back = (k - 1 - c) * back_pitch(s) + o;
                    ahead[((r * (run(s) / PAIR) + j / PAIR) * out_blocks + o) * PAIR + j % PAIR] = value;
                    if (back)
                        back[(((k - 1 - r) * (back_run(s) / PAIR) + j_back / PAIR) * in_blocks + i) * PAIR
                             + j_back % PAIR] = value;
                }
}

/* ---- what follows a convolution ---- */

/* A vector's share of the dice: which lanes dropout keeps. */
INLINE uint16_t tossed(uint64_t seed, uint32_t counter, uint32_t dropped) {
    words r;
    UNROLLED for (int i = 0; i < LANES; i++) r[i] = (uint32_t)i * 0x9e3779b9u;
    r ^= (counter + (uint32_t)seed) * 0x85ebca6bu + (uint32_t)(seed >> 32);
    r = (r ^ (r >> 16)) * 0x7feb352du; /* the mixing of hash-prospector's lowbias32 */
    r = (r ^ (r >> 15)) * 0x846ca68bu;
    r ^= r >> 16;
    bits keep = (bits)(r >= dropped);
#ifdef __AVX512DQ__
    return (uint16_t)_mm512_movepi32_mask((__m512i)keep);
#else
    uint16_t mask = 0;
    for (int i = 0; i < LANES; i++) mask |= (uint16_t)((keep[i] & 1) << i);
    return mask;
#endif
}

INLINE bits spread(uint16_t mask) {
#ifdef __AVX512DQ__
    return (bits)_mm512_movm_epi32(mask);
#else
    bits lane, all = {0};
    UNROLLED for (int i = 0; i < LANES; i++) lane[i] = 1 << i;
    return ((all + mask) & lane) != 0;
#endif
}

/* What the convolution gave to what the pooling gets. */
INLINE vec activated(Stage s, vec y, vec scale, vec shift, bits kept, float amends) {
    if (s.relu_first) y = positive(y);
    if (s.norm) y = y * scale + shift;
    if (s.dropout) y = chosen(kept, y * amends, y - y);
    return s.relu ? positive(y) : y;
}

typedef struct { const elem *y; const float *scale, *shift; const uint16_t *kept; float amends; } Given;

INLINE vec activated_at(Stage s, Given given, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    return activated(s, load(given.y + at), read(given.scale + b * LANES), read(given.shift + b * LANES),
                     s.dropout && given.kept ? spread(given.kept[at / LANES]) : (bits){0} - 1, given.amends);
}

INLINE vec larger(vec a, vec b) { return chosen(b > a, b, a); }

INLINE vec leaving(Stage s, Given given, int h, int w, int b) {
    if (!s.pool) return activated_at(s, given, h * s.w + w, b);
    const int corner = 2 * h * s.w + 2 * w;
    return larger(larger(activated_at(s, given, corner, b), activated_at(s, given, corner + 1, b)),
                  larger(activated_at(s, given, corner + s.w, b), activated_at(s, given, corner + s.w + 1, b)));
}

/* The gradient of what leaves one image's stage, brought back through pooling, ReLU and dropout. */
INLINE vec gated(Stage s, Given given, vec g, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    if (s.relu) g = chosen(activated_at(s, given, pixel, b) > 0.0f, g, g - g);
    if (s.dropout) g = chosen(spread(given.kept[at / LANES]), g * given.amends, g - g);
    return g;
}

INLINE void scatter(Stage s, Given given, const elem *g, float *dz) {
    ROLLED for (int h = 0; h < s.out_h; h++)
        ROLLED for (int w = 0; w < s.out_w; w++)
            ROLLED for (int b = 0; b < lanes(s) / LANES; b++) {
                const vec whole = load(g + (h * s.out_w + w) * lanes(s) + b * LANES);
                const vec top = leaving(s, given, h, w, b);
                bits taken = {0};
                UNROLLED for (int i = 0; i < 4; i++) { /* the first of the largest takes it all, as in torch */
                    const int pixel = (2 * h + i / 2) * s.w + 2 * w + i % 2;
                    const bits hit = (activated_at(s, given, pixel, b) == top) & ~taken;
                    taken |= hit;
                    *(vec *)(dz + pixel * lanes(s) + b * LANES) =
                        chosen(hit, gated(s, given, whole, pixel, b), whole - whole);
                }
            }
}

INLINE vec dz_at(Stage s, Given given, const elem *g, const float *dz, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    return s.pool ? read(dz + at) : gated(s, given, load(g + at), pixel, b);
}

INLINE vec normal_input(Stage s, const elem *y) { return s.relu_first ? positive(load(y)) : load(y); }

/* Adds one image's part of what batch norm's gradient needs of the whole batch. */
INLINE void norm_sums(Stage s, Given given, const elem *g, Own own) {
    if (!s.norm) return;
    if (s.pool) scatter(s, given, g, own.dz);
    ROLLED for (int b = 0; b < lanes(s) / LANES; b++) {
        vec sum = {0}, with_y = {0}, centre = read(own.centre + b * LANES);
        ROLLED for (int pixel = 0; pixel < s.h * s.w; pixel++) {
            const vec dz = dz_at(s, given, g, own.dz, pixel, b);
            sum += dz;
            with_y += dz * (normal_input(s, given.y + pixel * lanes(s) + b * LANES) - centre);
        }
        *(vec *)(own.sum + b * LANES) += sum;
        *(vec *)(own.square + b * LANES) += with_y * read(own.inverse + b * LANES);
    }
}

INLINE vec dy_at(Stage s, Given given, const elem *g, Own own, int pixel, int b) {
    vec d = dz_at(s, given, g, own.dz, pixel, b);
    if (!s.norm) return d;
    const vec y = load(given.y + pixel * lanes(s) + b * LANES);
    const vec normal = ((s.relu_first ? positive(y) : y) - read(own.centre + b * LANES)) * read(own.inverse + b * LANES);
    d = read(own.gain + b * LANES) * (d - read(own.mean_dz + b * LANES) - normal * read(own.mean_dzy + b * LANES));
    return s.relu_first ? chosen(y > 0.0f, d, d - d) : d;
}

INLINE void store_some(elem *p, vec v, int n) {
    if (n >= LANES) store(p, v);
    else {
        elem all[LANES];
        store(all, v);
        memcpy(p, all, n * sizeof(elem));
    }
}

/* One image's gradient of what the convolution gave, as both of its gradients want to read it. */
INLINE void convolution_gradient(Stage s, Given given, const elem *g, Own own, int with_input) {
    if (s.pool) scatter(s, given, g, own.dz);
    const int all = lanes(s), edge = s.kernel - 1 - s.padding;
    ROLLED for (int b = 0; b < all / LANES; b++) {
        vec bias = {0};
        ROLLED for (int h = 0; h < s.h; h++)
            ROLLED for (int w = 0; w < s.w; w += PAIR) {
                vec d[PAIR];
                UNROLLED for (int i = 0; i < PAIR; i++) {
                    d[i] = w + i < s.w ? dy_at(s, given, g, own, h * s.w + w + i, b) : (vec){0};
                    if (s.bias) bias += d[i];
                    if (with_input && w + i < s.w)
                        store_some(own.dy + (edge + h * s.stride) * back_row(s)
                                   + (edge + (w + i) * s.stride) * back_pitch(s) + b * LANES,
                                   d[i], back_pitch(s) - b * LANES);
                }
#if HALF
                *(vec *)(own.dy_pairs + (h * pairs(s) + w / PAIR) * all + b * LANES) = paired(d[0], d[1]);
#else
                *(vec *)(own.dy_pairs + (h * s.w + w) * all + b * LANES) = d[0];
#endif
            }
        if (s.bias) *(vec *)(own.d_bias + b * LANES) += bias;
    }
}

/* ---- the net ---- */

static const Stage stages[STAGES] = {ALL_STAGES};

INLINE Given given_of(Stage s, const Places *p, const Net *net, int k, int thread, int n, int training) {
    const Own *own = &p->own[thread][k];
    return (Given){p->y[k] + n * y_size(s), own->scale, own->shift,
                   training && s.dropout ? p->kept[k] + n * (y_size(s) / LANES) : NULL,
                   training ? 1 / (1 - net->stage[k].dropout) : 1};
}

/* Hands one image from stage to stage: what leaves k becomes what k + 1 reads. */
INLINE void pass_on(Stage s, Stage next, Given given, elem *x) {
    ROLLED for (int h = 0; h < s.out_h; h++)
        ROLLED for (int w = 0; w < s.out_w; w++)
            UNROLLED for (int b = 0; b < lanes(s) / LANES; b++)
                store_some(x + (h + next.padding) * x_row(next) + (w + next.padding) * pitch(next) + b * LANES,
                           leaving(s, given, h, w, b), pitch(next) - b * LANES);
}

/* An image, c h w, as the first stage reads it. */
INLINE void read_image(Stage s, const float *image, elem *x) {
    for (int c = 0; c < s.in; c++)
        for (int h = 0; h < s.in_h; h++)
            for (int w = 0; w < s.in_w; w++)
                x[(h + s.padding) * x_row(s) + (w + s.padding) * pitch(s) + c] =
                    narrowed(image[(c * s.in_h + h) * s.in_w + w]);
}

INLINE void toss(Stage s, uint16_t *kept, uint64_t seed, float dropout, int image) {
    const int vectors = (int)y_size(s) / LANES;
    const uint32_t dropped = (uint32_t)(dropout * 4294967296.0);
    ROLLED for (int i = 0; i < vectors; i++) kept[i] = tossed(seed, (uint32_t)(image * vectors + i), dropped);
}

/* Batch norm as one product and one sum, from this batch's statistics or the running ones. */
INLINE void settle_norm(Stage s, Places *p, Net *net, int k, int thread, int n, int training) {
    if (!s.norm) return;
    Own own = p->own[thread][k];
    const Tensors t = net->stage[k];
    const double count = (double)n * s.h * s.w;
    for (int c = 0; c < s.out; c++) {
        double mean, var;
        if (training) {
            double sum = 0, square = 0;
            for (int i = 0; i < net->threads; i++) sum += p->own[i][k].sum[c], square += p->own[i][k].square[c];
            mean = sum / count;
            var = fmax(square / count - mean * mean, 0);
            if (thread == 0) {
                t.mean[c] += t.momentum * ((float)mean - t.mean[c]);
                t.var[c] += t.momentum * ((float)(var * count / (count - 1)) - t.var[c]);
            }
        } else mean = t.mean[c], var = t.var[c];
        own.centre[c] = (float)mean;
        own.inverse[c] = (float)(1 / sqrt(var + t.epsilon));
        own.scale[c] = own.inverse[c] * t.gamma[c];
        own.shift[c] = t.beta[c] - own.centre[c] * own.scale[c];
    }
}

INLINE void settle_norm_gradient(Stage s, Places *p, Net *net, int k, int thread, int n) {
    if (!s.norm) return;
    Own own = p->own[thread][k];
    const Tensors t = net->stage[k];
    const float count = (float)n * s.h * s.w;
    for (int c = 0; c < s.out; c++) {
        float sum = 0, with_y = 0;
        for (int i = 0; i < net->threads; i++) sum += p->own[i][k].sum[c], with_y += p->own[i][k].square[c];
        if (thread == 0) t.d_beta[c] = sum, t.d_gamma[c] = with_y;
        own.gain[c] = own.inverse[c] * t.gamma[c];
        own.mean_dz[c] = sum / count;
        own.mean_dzy[c] = with_y / count;
    }
}

INLINE int share(int n, int thread, int threads) { return (int)((int64_t)n * thread / threads); }

/* The mean of every map, then the linear layer if there is one. */
INLINE void logits_of(Stage last, Given given, const Net *net, float *features, float *logits) {
    UNROLLED for (int b = 0; b < lanes(last) / LANES; b++) {
        vec sum = {0};
        ROLLED for (int h = 0; h < last.out_h; h++)
            ROLLED for (int w = 0; w < last.out_w; w++) sum += leaving(last, given, h, w, b);
        *(vec *)(features + b * LANES) = sum * (1.0f / (last.out_h * last.out_w));
    }
    for (int c = 0; c < CLASSES; c++) {
        float sum = HEAD_BIAS ? net->head_bias[c] : 0;
        if (HEAD)
            for (int i = 0; i < last.out; i++) sum += net->head[c * last.out + i] * features[i];
        logits[c] = HEAD ? sum : features[c];
    }
}

INLINE void begin_stage(Stage s, const Net *net, Places *p, int k, int thread) {
    const Own own = p->own[thread][k];
    memset(own.sum, 0, lanes(s) * 4);
    memset(own.square, 0, lanes(s) * 4);
    memset(own.d_bias, 0, lanes(s) * 4);
    memset(own.d_weight, 0, w_size(s) * 4);
    pack(s, net->stage[k].weight, p->weight[k], k ? p->back_weight[k] : NULL, share(s.out, thread, net->threads),
         share(s.out, thread + 1, net->threads));
}

INLINE void convolve(Stage s, const Net *net, const Places *p, int k, int slot, Own own, int sums) {
    float start[lanes(s)];
    if (s.bias) {
        memset(start, 0, lanes(s) * 4);
        memcpy(start, net->stage[k].bias, s.out * 4);
    }
    elem *y = p->y[k] + slot * y_size(s);
    sums = sums && s.norm;
    slide(forward_slide(s), p->x[k] + slot * x_size(s), p->weight[k], s.bias ? start : NULL, y,
          s.norm && !s.relu_first ? own.sum : NULL, s.norm && !s.relu_first ? own.square : NULL);
    if (sums && s.relu_first)
        for (int pixel = 0; pixel < s.h * s.w; pixel++)
            for (int b = 0; b < lanes(s); b += LANES) {
                const vec v = positive(load(y + pixel * lanes(s) + b));
                *(vec *)(own.sum + b) += v;
                *(vec *)(own.square + b) += v * v;
            }
}

/* One function a stage and pass, so that the compiler sees each by itself, and so does a profiler. */
#define FUNCTIONS(k, before)                                                                                        \
    static ALONE void convolve_##k(const Net *net, const Places *p, int slot, Own own, int sums) {                  \
        convolve(STAGE_##k, net, p, k, slot, own, sums);                                                            \
    }                                                                                                               \
    static ALONE void pass_on_to_##k(const Net *net, const Places *p, int thread, int slot, int training) {         \
        if (k) pass_on(STAGE_##before, STAGE_##k, given_of(STAGE_##before, p, net, k - 1, thread, slot, training),  \
                       p->x[k] + slot * x_size(STAGE_##k));                                                         \
    }                                                                                                               \
    static ALONE void norm_sums_##k(const Net *net, const Places *p, int thread, int n) {                           \
        norm_sums(STAGE_##k, given_of(STAGE_##k, p, net, k, thread, n, 1), p->g[k] + n * g_size(STAGE_##k),         \
                  p->own[thread][k]);                                                                               \
    }                                                                                                               \
    static ALONE void convolution_gradient_##k(const Net *net, const Places *p, int thread, int n) {                \
        convolution_gradient(STAGE_##k, given_of(STAGE_##k, p, net, k, thread, n, 1),                               \
                             p->g[k] + n * g_size(STAGE_##k), p->own[thread][k], k > 0);                            \
    }                                                                                                               \
    static ALONE void weight_gradient_##k(const Places *p, int thread, int n) {                                     \
        const Own own = p->own[thread][k];                                                                          \
        const elem *x = x_in_pairs(STAGE_##k, p->x[k] + n * x_size(STAGE_##k), own.x_pairs);                        \
        weight_gradient(STAGE_##k, x, own.dy_pairs, own.d_weight);                                                  \
    }                                                                                                               \
    static ALONE void input_gradient_##k(const Places *p, int thread, int n) {                                      \
        slide(back_slide(STAGE_##k), p->own[thread][k].dy, p->back_weight[k], NULL,                                 \
              p->g[before] + n * g_size(STAGE_##before), NULL, NULL);                                               \
    }
FOR_STAGES_AFTER(FUNCTIONS)

INLINE void hand_over(Stage s, const Net *net, const Places *p, int k, int thread) {
    const Tensors t = net->stage[k];
    const int kernel = s.kernel;
    for (int o = share(s.out, thread, net->threads); o < share(s.out, thread + 1, net->threads); o++) {
        for (int i = 0; i < s.in; i++)
            for (int r = 0; r < kernel; r++)
                for (int c = 0; c < kernel; c++) {
                    float sum = 0;
                    for (int a = 0; a < net->threads; a++)
                        sum += p->own[a][k].d_weight[(r * run(s) + c * pitch(s) + i) * lanes(s) + o];
                    t.d_weight[((o * s.in + i) * kernel + r) * kernel + c] = sum;
                }
        if (s.bias) {
            t.d_bias[o] = 0;
            for (int a = 0; a < net->threads; a++) t.d_bias[o] += p->own[a][k].d_bias[o];
        }
    }
}

INLINE void head(const Net *net, Places *p, int thread, int from, int to, int images, const int64_t *labels,
                 float smoothing) {
    const Stage last = stages[STAGES - 1];
    const int all = lanes(last), k = STAGES - 1;
    float features[all], logits[CLASSES];
    float *d_head = p->d_head[thread], *d_bias = p->d_head_bias[thread];
    memset(d_head, 0, CLASSES * all * 4);
    memset(d_bias, 0, CLASSES * 4);
    double loss = 0;
    int64_t correct = 0;
    for (int n = from; n < to; n++) {
        const Given given = given_of(last, p, net, k, thread, n, 1);
        logits_of(last, given, net, features, logits);
        int best = 0;
        float mean = 0, total = 0;
        for (int c = 0; c < CLASSES; c++) {
            if (logits[c] > logits[best] || logits[c] != logits[c]) best = c;
            mean += logits[c] / CLASSES;
        }
        for (int c = 0; c < CLASSES; c++) total += expf(logits[c] - logits[best]);
        const int label = (int)labels[n];
        correct += best == label;
        loss += logits[best] + logf(total) - (1 - smoothing) * logits[label] - smoothing * mean;
        float d_features[all];
        memset(d_features, 0, sizeof d_features);
        for (int c = 0; c < CLASSES; c++) {
            const float wanted = (c == label ? 1 - smoothing : 0) + smoothing / CLASSES;
            const float d = (expf(logits[c] - logits[best]) / total - wanted) / images;
            if (HEAD)
                for (int i = 0; i < last.out; i++) {
                    d_features[i] += d * net->head[c * last.out + i];
                    d_head[c * all + i] += d * features[i];
                }
            else d_features[c] = d;
            d_bias[c] += d;
        }
        elem *g = p->g[k] + n * g_size(last);
        for (int b = 0; b < all; b += LANES)
            for (int pixel = 0; pixel < last.out_h * last.out_w; pixel++)
                store(g + pixel * all + b, read(d_features + b) * (1.0f / (last.out_h * last.out_w)));
        norm_sums(last, given, g, p->own[thread][k]);
    }
    p->loss[thread][0] = loss;
    p->correct[thread][0] = correct;
}

static Places *places_of(const Net *net) {
    Places *p = net->arena;
    lay_out((char *)net->arena + (sizeof(Places) + 63) / 64 * 64, net->threads, p);
    return p;
}

#ifdef _OPENMP
#define MEET _Pragma("omp barrier")
#define THREAD omp_get_thread_num()
#else
#define MEET
#define THREAD 0
#endif

/* Forward and backward over a batch.
 *
 * images: n c h w, normalised. labels: n. Gradients of the mean loss are written where `net` says, running statistics
 * moved, `loss` and `correct` set to the batch's mean and number.
 */
void netlet_step(Net *net, const float *images, const int64_t *labels, int n, float smoothing, uint64_t seed,
                 float *loss, int64_t *correct) {
    Places *p = places_of(net);
    const Stage first = stages[0];
#pragma omp parallel num_threads(net->threads)
    {
        const int thread = THREAD, from = share(n, thread, net->threads), to = share(n, thread + 1, net->threads);
#define BEGIN(k) begin_stage(STAGE_##k, net, p, k, thread);
        FOR_STAGES(BEGIN)
        for (int i = from; i < to; i++)
            read_image(first, images + (size_t)i * first.in * first.in_h * first.in_w, p->x[0] + i * x_size(first));
        MEET
#define FORWARD(k, before)                                                                                          \
        for (int i = from; i < to; i++) {                                                                           \
            pass_on_to_##k(net, p, thread, i, 1);                                                                   \
            convolve_##k(net, p, i, p->own[thread][k], 1);                                                          \
            if (STAGE_##k.dropout)                                                                                  \
                toss(STAGE_##k, p->kept[k] + i * (y_size(STAGE_##k) / LANES), seed + k, net->stage[k].dropout, i);  \
        }                                                                                                           \
        if (STAGE_##k.norm) {                                                                                       \
            MEET                                                                                                    \
            settle_norm(STAGE_##k, p, net, k, thread, n, 1);                                                        \
        }
        FOR_STAGES_AFTER(FORWARD)
        MEET /* all have read the sums, which now count something else */
#define CLEAR(k) memset(p->own[thread][k].sum, 0, lanes(STAGE_##k) * 4), memset(p->own[thread][k].square, 0, lanes(STAGE_##k) * 4);
        FOR_STAGES(CLEAR)
        head(net, p, thread, from, to, n, labels, smoothing);
#define BACKWARD(k, before)                                              \
        if (STAGE_##k.norm) {                                            \
            MEET                                                         \
            settle_norm_gradient(STAGE_##k, p, net, k, thread, n);       \
        }                                                                \
        for (int i = from; i < to; i++) {                                \
            convolution_gradient_##k(net, p, thread, i);                 \
            weight_gradient_##k(p, thread, i);                           \
            if (k) {                                                     \
                input_gradient_##k(p, thread, i);                        \
                norm_sums_##before(net, p, thread, i);                   \
            }                                                            \
        }
        FOR_STAGES_BACKWARDS(BACKWARD)
        MEET
#define HAND_OVER(k) hand_over(STAGE_##k, net, p, k, thread);
        FOR_STAGES(HAND_OVER)
    }
    double total = 0;
    *correct = 0;
    for (int t = 0; t < net->threads; t++) total += p->loss[t][0], *correct += p->correct[t][0];
    *loss = (float)(total / n);
    const Stage last = stages[STAGES - 1];
    for (int c = 0; c < CLASSES && HEAD; c++) {
        for (int i = 0; i < last.out; i++) {
            net->d_head[c * last.out + i] = 0;
            for (int t = 0; t < net->threads; t++) net->d_head[c * last.out + i] += p->d_head[t][c * lanes(last) + i];
        }
        if (HEAD_BIAS) {
            net->d_head_bias[c] = 0;
            for (int t = 0; t < net->threads; t++) net->d_head_bias[c] += p->d_head_bias[t][c];
        }
    }
}

/* Logits, n CLASSES, of images, n c h w, normalised: evaluation, with running statistics and no dropout. */
void netlet_scores(Net *net, const float *images, int n, float *logits) {
    Places *p = places_of(net);
    const Stage first = stages[0];
#pragma omp parallel num_threads(net->threads)
    {
        const int thread = THREAD;
        FOR_STAGES(BEGIN)
#define SETTLE(k) settle_norm(STAGE_##k, p, net, k, thread, n, 0);
        FOR_STAGES(SETTLE)
        MEET
        for (int i = share(n, thread, net->threads); i < share(n, thread + 1, net->threads); i++) {
            read_image(first, images + (size_t)i * first.in * first.in_h * first.in_w, p->x[0] + thread * x_size(first));
#define SCORE(k, before)                                        \
            pass_on_to_##k(net, p, thread, thread, 0);          \
            convolve_##k(net, p, thread, p->own[thread][k], 0);
            FOR_STAGES_AFTER(SCORE)
            const Stage last = stages[STAGES - 1];
            float features[lanes(last)];
            logits_of(last, given_of(last, p, net, STAGES - 1, thread, thread, 0), net, features,
                      logits + (size_t)i * CLASSES);
        }
    }
}
