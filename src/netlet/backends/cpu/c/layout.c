/* What a stage is, how large what it reads and gives, and where everything lies in one piece of memory.
 *
 * Maps lie as n h w c, channels rounded up to whole vectors of LANES where they are written by the convolution, and to
 * PAIR where they are read by it.
 */
typedef struct {
    int in, in_h, in_w;          /* of what it reads: channels, height, width */
    int out, h, w;               /* of what the convolution gives */
    int kernel, stride, padding, depthwise;
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

static const Stage stages[STAGES] = {ALL_STAGES};

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
