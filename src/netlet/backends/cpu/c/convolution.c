/* A convolution and the gradients of its input and weights: one image at a time, one tile of sums
 * at a time. */

/* A convolution over feature maps stored as H W C. */
typedef struct {
    int kernel, kernel_row; /* rows of the window; numbers in one row, a multiple of PAIR */
    int row;                /* numbers from one input row to the next */
    int row_step, col_step; /* numbers from one window to the next, downwards and to the right */
    int h, w, blocks;       /* output size; vectors of output channels */
    int tile_rows, tile_cols, tile_blocks;
    /* Rows of the input: from one window to the next, of zero padding above, and of data. */
    int stride, pad_rows, data_rows;
} ConvGeometry;

INLINE void convolve_tile(ConvGeometry s, const elem *x, const elem *w, const float *bias, elem *y,
                          vec *sum, vec *square, int rows, int cols, int first, int last) {
    const int blocks = s.tile_blocks;
    vec a[MAX_TILE];
    UNROLLED for (int b = 0; b < blocks; b++) {
        vec initial = bias ? load_f32(bias + b * LANES) : (vec){0};
        UNROLLED for (int i = 0; i < rows * cols; i++) a[i * blocks + b] = initial;
    }
    ROLLED for (int i = first; i < last; i++) {
        ROLLED for (int j = 0; j < s.kernel_row / PAIR; j++) {
            const elem *xj = x + i * s.row + j * PAIR,
                       *wj = w + (i * (s.kernel_row / PAIR) + j) * s.blocks * LANES * PAIR;
            vec wb[MAX_TILE];
            UNROLLED for (int b = 0; b < blocks; b++) wb[b] = *(const vec *)(wj + b * LANES * PAIR);
            UNROLLED for (int r = 0; r < rows; r++)
                UNROLLED for (int c = 0; c < cols; c++)
                    UNROLLED for (int b = 0; b < blocks; b++) {
                        const int at = (r * cols + c) * blocks + b;
                        a[at] = mac(a[at], wb[b], xj + r * s.row_step + c * s.col_step);
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

INLINE void convolve_band(ConvGeometry s, const elem *x, const elem *w, const float *bias, elem *y,
                          vec *sum, vec *square, int row, int rows) {
    const int full = s.w / s.tile_cols * s.tile_cols, rest = s.w - full;
    /* Kernel rows that read only zero padding in the whole band are skipped. */
    const int above = s.pad_rows - (row + rows - 1) * s.stride,
              below = s.pad_rows + s.data_rows - row * s.stride;
    const int first = above > 0 ? above : 0, last = below < s.kernel ? below : s.kernel;
    x += row * s.row_step, y += row * s.w * s.blocks * LANES;
    ROLLED for (int c = 0; c < full; c += s.tile_cols)
        convolve_tile(s, x + c * s.col_step, w, bias, y + c * s.blocks * LANES, sum, square, rows,
                      s.tile_cols, first, last);
    if (rest)
        convolve_tile(s, x + full * s.col_step, w, bias, y + full * s.blocks * LANES, sum, square,
                      rows, rest, first, last);
}

/* Convolve one image. Sums of y and y^2 are added to `sum` and `square` unless these are NULL. */
INLINE void convolve_maps(ConvGeometry s, const elem *x, const elem *w, const float *bias, elem *y,
                          float *sum, float *square) {
    const int full = s.h / s.tile_rows * s.tile_rows, rest = s.h - full;
    ROLLED for (int b = 0; b < s.blocks; b += s.tile_blocks) {
        const elem *wb = w + b * LANES * PAIR;
        const float *block_bias = bias ? bias + b * LANES : NULL;
        vec sums[MAX_TILE], squares[MAX_TILE];
        UNROLLED for (int i = 0; i < s.tile_blocks; i++) sums[i] = squares[i] = (vec){0};
        vec *add_to = sum ? sums : NULL, *add_squares_to = sum ? squares : NULL;
        ROLLED for (int r = 0; r < full; r += s.tile_rows)
            convolve_band(s, x, wb, block_bias, y + b * LANES, add_to, add_squares_to, r,
                          s.tile_rows);
        if (rest)
            convolve_band(s, x, wb, block_bias, y + b * LANES, add_to, add_squares_to, full, rest);
        if (sum)
            UNROLLED for (int i = 0; i < s.tile_blocks; i++) {
                *(vec *)(sum + (b + i) * LANES) += sums[i];
                *(vec *)(square + (b + i) * LANES) += squares[i];
            }
    }
}

INLINE ConvGeometry forward_geometry(Stage s) {
    return (ConvGeometry){s.kernel_h,
                          kernel_row(s),
                          x_row(s),
                          s.stride_h * x_row(s),
                          s.stride_w * pitch(s),
                          s.h,
                          s.w,
                          lanes(s) / LANES,
                          s.rows,
                          s.cols,
                          s.blocks,
                          s.stride_h,
                          s.top,
                          s.in_h};
}

INLINE ConvGeometry backward_geometry(Stage s) {
    return (ConvGeometry){s.kernel_h,
                          back_kernel_row(s),
                          back_row(s),
                          back_row(s),
                          back_pitch(s),
                          s.in_h,
                          s.in_w,
                          back_lanes(s) / LANES,
                          s.back_rows,
                          s.back_cols,
                          s.back_blocks,
                          1,
                          s.kernel_h - 1 - s.top,
                          (s.h - 1) * s.stride_h + 1};
}

INLINE void weight_gradient_tile(Stage s, const elem *x, const float *dy, float *d_weight, int rows,
                                 int cols) {
    /* With HALF, x and dy hold pairs of pixels. An element of either takes four bytes in both
     * cases. */
    const int blocks = s.grad_blocks, all = lanes(s) / LANES;
    const char *bytes = (const char *)x;
    vec a[MAX_TILE];
    UNROLLED for (int i = 0; i < rows * cols * blocks; i++) a[i] = (vec){0};
    ROLLED for (int h = 0; h < s.h; h++) {
        ROLLED for (int w = 0; w < pixel_pairs(s); w++) {
            const char *xw =
                bytes + 4 * (h * s.stride_h * x_row(s) + w * PAIR * s.stride_w * pitch(s));
            const float *dw = dy + (h * pixel_pairs(s) + w) * all * LANES;
            vec d[MAX_TILE];
            UNROLLED for (int b = 0; b < blocks; b++) d[b] = load_f32(dw + b * LANES);
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
                *(vec *)(d_weight + ((r * kernel_row(s) + c) * all + b) * LANES) +=
                    a[(r * cols + c) * blocks + b];
}

INLINE void weight_gradient_band(Stage s, const elem *x, const float *dy, float *d_weight,
                                 int rows) {
    const int width = s.kernel_w * pitch(s), full = width / s.grad_cols * s.grad_cols,
              rest = width - full;
    ROLLED for (int c = 0; c < full; c += s.grad_cols)
        weight_gradient_tile(s, (const elem *)((const char *)x + 4 * c), dy,
                             d_weight + c * lanes(s), rows, s.grad_cols);
    if (rest)
        weight_gradient_tile(s, (const elem *)((const char *)x + 4 * full), dy,
                             d_weight + full * lanes(s), rows, rest);
}

INLINE void weight_gradient(Stage s, const elem *x, const float *dy, float *d_weight) {
    const int full = s.kernel_h / s.grad_rows * s.grad_rows, rest = s.kernel_h - full;
    ROLLED for (int b = 0; b < lanes(s) / LANES; b += s.grad_blocks) {
        ROLLED for (int r = 0; r < full; r += s.grad_rows)
            weight_gradient_band(s, (const elem *)((const char *)x + 4 * r * x_row(s)),
                                 dy + b * LANES,
                                 d_weight + r * kernel_row(s) * lanes(s) + b * LANES, s.grad_rows);
        if (rest)
            weight_gradient_band(s, (const elem *)((const char *)x + 4 * full * x_row(s)),
                                 dy + b * LANES,
                                 d_weight + full * kernel_row(s) * lanes(s) + b * LANES, rest);
    }
}

/* Pair each element with the one in the next window to the right. */
INLINE const elem *interleave_windows(Stage s, const elem *x, float *interleaved) {
#if HALF
    const int apart = s.stride_w * pitch(s), n = (int)x_size(s);
    ROLLED for (int i = 0; i < n; i += LANES) {
        __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(x + i)));
        __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(x + i + apart)));
        _mm512_storeu_si512(interleaved + i, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
    return (const elem *)interleaved;
#else
    (void)s, (void)interleaved;
    return x;
#endif
}
