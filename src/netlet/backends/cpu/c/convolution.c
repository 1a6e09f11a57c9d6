/* A convolution and its two gradients, an image at a time, a tile of sums at a time. */
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
    if (s.depthwise) {
        for (int o = out_from; o < out_to; o++)
            for (int tap = 0; tap < k * k; tap++) {
                const elem value = narrowed(weight[o * k * k + tap]);
                ahead[tap * out_blocks + o] = value;
                if (back) back[(k * k - 1 - tap) * out_blocks + o] = value;
            }
        return;
    }
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
