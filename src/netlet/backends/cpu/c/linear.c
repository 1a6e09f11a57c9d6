/* Linear layers, over all images of a thread at once: each weight is then read once for several
 * images. */

/* Multiply n rows of x, `step` numbers apart, by the weights. */
INLINE void multiply_rows(ConvGeometry s, const elem *x, const elem *w, const float *bias, elem *y,
                          float *sum, float *square, int n) {
    const int full = n / s.tile_cols * s.tile_cols;
    ROLLED for (int b = 0; b < s.blocks; b += s.tile_blocks) {
        const elem *wb = w + (size_t)b * LANES * PAIR;
        const float *block_bias = bias ? bias + b * LANES : NULL;
        elem *to = y + b * LANES;
        vec sums[MAX_TILE], squares[MAX_TILE];
        UNROLLED for (int i = 0; i < s.tile_blocks; i++) sums[i] = squares[i] = (vec){0};
        vec *add_to = sum ? sums : NULL, *add_squares_to = sum ? squares : NULL;
        ROLLED for (int c = 0; c < full; c += s.tile_cols)
            convolve_tile(s, x + (size_t)c * s.col_step, wb, block_bias, to + c * s.blocks * LANES,
                          add_to, add_squares_to, 1, s.tile_cols, 0, 1);
        /* Without sums, the last tile may compute rows of the one before again. */
        if (full < n && full && !sum)
            convolve_tile(s, x + (size_t)(n - s.tile_cols) * s.col_step, wb, block_bias,
                          to + (n - s.tile_cols) * s.blocks * LANES, NULL, NULL, 1, s.tile_cols, 0,
                          1);
        else
            ROLLED for (int c = full; c < n; c++)
                convolve_tile(s, x + (size_t)c * s.col_step, wb, block_bias,
                              to + c * s.blocks * LANES, add_to, add_squares_to, 1, 1, 0, 1);
        if (sum)
            UNROLLED for (int i = 0; i < s.tile_blocks; i++) {
                *(vec *)(sum + (b + i) * LANES) += sums[i];
                *(vec *)(square + (b + i) * LANES) += squares[i];
            }
    }
}

/* The products of n images, like `convolve_maps` in convolution.c. */
INLINE void multiply_forward(Stage s, const elem *x, const elem *weight, const float *bias, elem *y,
                             float *sum, float *square, int n) {
    ConvGeometry rows = forward_geometry(s);
    rows.col_step = (int)x_size(s);
    multiply_rows(rows, x, weight, bias, y, sum, square, n);
}

/* The gradients of the inputs of n images. */
INLINE void multiply_backward(Stage s, const elem *dy, const elem *weight, elem *g, int n) {
    ConvGeometry rows = backward_geometry(s);
    rows.col_step = (int)back_size(s);
    multiply_rows(rows, dy, weight, NULL, g, NULL, NULL, n);
}

/* Copy `numbers` numbers of n rows, `step` apart, so that `mac` sums over the rows: with HALF, each
 * number is a pair of two rows'. */
INLINE void interleave_rows(const elem *rows, size_t step, int n, int numbers, float *pairs) {
    ROLLED for (int i = 0; i < n; i += PAIR)
        ROLLED for (int k = 0; k < numbers; k += LANES) {
            const elem *row = rows + i * step + k;
            const vec next = i + 1 < n ? load(row + step) : (vec){0};
            *(vec *)(pairs + (size_t)(i / PAIR) * numbers + k) = interleave(load(row), next);
        }
}

/* The gradient of the weights of `cols` inputs of a chunk. */
INLINE void linear_gradient_tile(Stage s, const float *x, int chunk, const float *dy,
                                 float *d_weight, int cols, int n) {
    const int blocks = s.grad_blocks;
    vec a[MAX_TILE];
    UNROLLED for (int i = 0; i < cols * blocks; i++) a[i] = (vec){0};
    ROLLED for (int i = 0; i < (n + PAIR - 1) / PAIR; i++) {
        vec d[MAX_TILE];
        UNROLLED for (int b = 0; b < blocks; b++) d[b] = load_f32(dy + i * lanes(s) + b * LANES);
        UNROLLED for (int c = 0; c < cols; c++)
            UNROLLED for (int b = 0; b < blocks; b++)
                a[c * blocks + b] = mac(a[c * blocks + b], d[b], x + i * chunk + c);
    }
    UNROLLED for (int c = 0; c < cols; c++)
        UNROLLED for (int b = 0; b < blocks; b++)
            *(vec *)(d_weight + (size_t)c * lanes(s) + b * LANES) = a[c * blocks + b];
}

INLINE void linear_gradient_chunk(Stage s, const elem *x, int chunk, ThreadWorkspace ws,
                                  float *d_weight, int n) {
    interleave_rows(x, x_size(s), n, chunk, ws.x_pairs);
    const int full = chunk / s.grad_cols * s.grad_cols, rest = chunk - full;
    ROLLED for (int b = 0; b < lanes(s); b += s.grad_blocks * LANES) {
        const float *dy = ws.dy_pairs + b;
        float *to = d_weight + b;
        ROLLED for (int c = 0; c < full; c += s.grad_cols)
            linear_gradient_tile(s, ws.x_pairs + c, chunk, dy, to + (size_t)c * lanes(s),
                                 s.grad_cols, n);
        if (rest)
            linear_gradient_tile(s, ws.x_pairs + full, chunk, dy, to + (size_t)full * lanes(s),
                                 rest, n);
    }
}

/* Write the weights' gradient of n images. */
INLINE void linear_gradient(Stage s, const elem *x, const elem *dy, ThreadWorkspace ws, int n) {
    const int full = s.in / INPUT_CHUNK * INPUT_CHUNK, rest = s.in - full;
    interleave_rows(dy, back_size(s), n, lanes(s), ws.dy_pairs);
    ROLLED for (int c = 0; c < full; c += INPUT_CHUNK)
        linear_gradient_chunk(s, x + c, INPUT_CHUNK, ws, ws.d_weight + (size_t)c * lanes(s), n);
    if (rest) linear_gradient_chunk(s, x + full, rest, ws, ws.d_weight + (size_t)full * lanes(s), n);
}
