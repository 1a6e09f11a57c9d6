/* Depthwise convolution (as many groups as channels) and its gradients. Nothing is summed over
 * channels, so one vector of input channels gives one vector of output channels.
 *
 * Lanes beyond the last channel read neighboring numbers; their weights are zero, and their
 * gradients are never copied out.
 */

/* A depthwise convolution over feature maps stored as H W C. */
typedef struct {
    int kernel_h, kernel_w, row, pixel; /* window; numbers from one input row, pixel, to the next */
    int row_step, col_step; /* numbers from one window to the next, downwards and to the right */
    int h, w, blocks;       /* output size; vectors of channels */
} DepthwiseGeometry;

INLINE DepthwiseGeometry forward_depthwise_geometry(Stage s) {
    return (DepthwiseGeometry){s.kernel_h,          s.kernel_w,          x_row(s),
                               pitch(s),            s.stride_h * x_row(s), s.stride_w * pitch(s),
                               s.h,                 s.w,                 lanes(s) / LANES};
}

INLINE DepthwiseGeometry backward_depthwise_geometry(Stage s) {
    return (DepthwiseGeometry){s.kernel_h,  s.kernel_w,    back_row(s),
                               back_pitch(s), back_row(s), back_pitch(s),
                               s.in_h,      s.in_w,        back_lanes(s) / LANES};
}

/* Convolve one image, like `convolve_maps` in convolution.c. */
INLINE void convolve_depthwise(DepthwiseGeometry s, const elem *x, const elem *weight,
                               const float *bias, elem *y, float *sum, float *square) {
    ROLLED for (int b = 0; b < s.blocks * LANES; b += LANES) {
        const vec initial = bias ? load_f32(bias + b) : (vec){0};
        vec w[s.kernel_h * s.kernel_w], total = {0}, squares = {0};
        UNROLLED for (int i = 0; i < s.kernel_h * s.kernel_w; i++)
            w[i] = load(weight + i * s.blocks * LANES + b);
        ROLLED for (int r = 0; r < s.h; r++)
            ROLLED for (int c = 0; c < s.w; c++) {
                const elem *window = x + r * s.row_step + c * s.col_step + b;
                vec a = initial;
                UNROLLED for (int i = 0; i < s.kernel_h; i++)
                    UNROLLED for (int j = 0; j < s.kernel_w; j++)
                        a += w[i * s.kernel_w + j] * load(window + i * s.row + j * s.pixel);
                store(y + (r * s.w + c) * s.blocks * LANES + b, a);
                total += a, squares += a * a;
            }
        if (sum) *(vec *)(sum + b) += total, *(vec *)(square + b) += squares;
    }
}

/* Add the weights' gradient of one image; dy is spread by the stride and padded with zeros. */
INLINE void depthwise_gradient(Stage s, const elem *x, const elem *dy, float *d_weight) {
    const int above = s.kernel_h - 1 - s.top, before = s.kernel_w - 1 - s.left;
    ROLLED for (int b = 0; b < lanes(s); b += LANES) {
        vec a[s.kernel_h * s.kernel_w];
        UNROLLED for (int i = 0; i < s.kernel_h * s.kernel_w; i++) a[i] = (vec){0};
        ROLLED for (int r = 0; r < s.h; r++)
            ROLLED for (int c = 0; c < s.w; c++) {
                const elem *window = x + r * s.stride_h * x_row(s) + c * s.stride_w * pitch(s) + b;
                const vec d = load(dy + (above + r * s.stride_h) * back_row(s) +
                                   (before + c * s.stride_w) * back_pitch(s) + b);
                UNROLLED for (int i = 0; i < s.kernel_h; i++)
                    UNROLLED for (int j = 0; j < s.kernel_w; j++)
                        a[i * s.kernel_w + j] += d * load(window + i * x_row(s) + j * pitch(s));
            }
        UNROLLED for (int i = 0; i < s.kernel_h * s.kernel_w; i++)
            *(vec *)(d_weight + i * lanes(s) + b) += a[i];
    }
}
