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
        ROLLED for (int c = full; c < n; c++)
            convolve_tile(s, x + (size_t)c * s.col_step, wb, block_bias, to + c * s.blocks * LANES,
                          add_to, add_squares_to, 1, 1, 0, 1);
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

INLINE void linear_gradient_tile(Stage s, const elem *x, const elem *dy, float *d_weight, int cols,
                                 int n) {
    const int blocks = s.grad_blocks;
    vec a[MAX_TILE];
    UNROLLED for (int i = 0; i < cols * blocks; i++) a[i] = (vec){0};
    ROLLED for (int i = 0; i < n; i++) {
        vec d[MAX_TILE];
        UNROLLED for (int b = 0; b < blocks; b++) d[b] = load(dy + i * back_size(s) + b * LANES);
        UNROLLED for (int c = 0; c < cols; c++)
            UNROLLED for (int b = 0; b < blocks; b++)
                a[c * blocks + b] += d[b] * from_elem(x[i * x_size(s) + c]);
    }
    UNROLLED for (int c = 0; c < cols; c++)
        UNROLLED for (int b = 0; b < blocks; b++)
            *(vec *)(d_weight + (size_t)c * lanes(s) + b * LANES) += a[c * blocks + b];
}

/* Add the weights' gradient of n images. */
INLINE void linear_gradient(Stage s, const elem *x, const elem *dy, float *d_weight, int n) {
    const int full = s.in / s.grad_cols * s.grad_cols;
    ROLLED for (int b = 0; b < lanes(s) / LANES; b += s.grad_blocks) {
        ROLLED for (int c = 0; c < full; c += s.grad_cols)
            linear_gradient_tile(s, x + c, dy + b * LANES,
                                 d_weight + (size_t)c * lanes(s) + b * LANES, s.grad_cols, n);
        ROLLED for (int c = full; c < s.in; c++)
            linear_gradient_tile(s, x + c, dy + b * LANES,
                                 d_weight + (size_t)c * lanes(s) + b * LANES, 1, n);
    }
}
