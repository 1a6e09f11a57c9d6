/* Depthwise convolution (as many groups as channels) and its gradients. Nothing is summed over
 * channels, so one vector of input channels gives one vector of output channels.
 *
 * Lanes beyond the last channel read neighboring numbers; their weights are zero, and their
 * gradients are never copied out.
 */

/* A depthwise convolution over feature maps stored as H W C. */
typedef struct {
    int kernel, row, pixel; /* window size; numbers from one input row, and pixel, to the next */
    int row_step, col_step; /* numbers from one window to the next, downwards and to the right */
    int h, w, blocks;       /* output size; vectors of channels */
} DepthwiseGeometry;

INLINE DepthwiseGeometry forward_depthwise_geometry(Stage s) {
    return (DepthwiseGeometry){
        s.kernel, x_row(s), pitch(s),        s.stride * x_row(s), s.stride * pitch(s),
        s.h,      s.w,      lanes(s) / LANES};
}

INLINE DepthwiseGeometry backward_depthwise_geometry(Stage s) {
    return (DepthwiseGeometry){s.kernel,      back_row(s), back_pitch(s), back_row(s),
                               back_pitch(s), s.in_h,      s.in_w,        back_lanes(s) / LANES};
}

/* Convolve one image, like `convolve_maps` in convolution.c. */
INLINE void convolve_depthwise(DepthwiseGeometry s, const elem *x, const elem *weight,
                               const float *bias, elem *y, float *sum, float *square) {
    ROLLED for (int b = 0; b < s.blocks * LANES; b += LANES) {
        const vec initial = bias ? load_f32(bias + b) : (vec){0};
        vec w[s.kernel * s.kernel], total = {0}, squares = {0};
        UNROLLED for (int i = 0; i < s.kernel * s.kernel; i++)
            w[i] = load(weight + i * s.blocks * LANES + b);
        ROLLED for (int r = 0; r < s.h; r++)
            ROLLED for (int c = 0; c < s.w; c++) {
                const elem *window = x + r * s.row_step + c * s.col_step + b;
                vec a = initial;
                UNROLLED for (int i = 0; i < s.kernel; i++)
                    UNROLLED for (int j = 0; j < s.kernel; j++)
                        a += w[i * s.kernel + j] * load(window + i * s.row + j * s.pixel);
                store(y + (r * s.w + c) * s.blocks * LANES + b, a);
                total += a, squares += a * a;
            }
        if (sum) *(vec *)(sum + b) += total, *(vec *)(square + b) += squares;
    }
}

/* Add the weights' gradient of one image; dy is spread by the stride and padded with zeros. */
INLINE void depthwise_gradient(Stage s, const elem *x, const elem *dy, float *d_weight) {
    const int edge = s.kernel - 1 - s.padding;
    ROLLED for (int b = 0; b < lanes(s); b += LANES) {
        vec a[s.kernel * s.kernel];
        UNROLLED for (int i = 0; i < s.kernel * s.kernel; i++) a[i] = (vec){0};
        ROLLED for (int r = 0; r < s.h; r++)
            ROLLED for (int c = 0; c < s.w; c++) {
                const elem *window = x + s.stride * (r * x_row(s) + c * pitch(s)) + b;
                const vec d = load(dy + (edge + r * s.stride) * back_row(s) +
                                   (edge + c * s.stride) * back_pitch(s) + b);
                UNROLLED for (int i = 0; i < s.kernel; i++)
                    UNROLLED for (int j = 0; j < s.kernel; j++)
                        a[i * s.kernel + j] += d * load(window + i * x_row(s) + j * pitch(s));
            }
        UNROLLED for (int i = 0; i < s.kernel * s.kernel; i++)
            *(vec *)(d_weight + i * lanes(s) + b) += a[i];
    }
}
