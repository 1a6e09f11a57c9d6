/* A convolution of each map by itself (as many groups as channels) and its two gradients: nothing is summed over
 * channels, so that a vector of channels stays one from what is read to what is given.
 *
 * Lanes beyond the channels read what lies beside; their weights are zero, and their gradients are handed to nobody.
 */
typedef struct {                 /* windows over maps that lie as h w c */
    int kernel, row, pixel;      /* of what is read: from row to row, from pixel to pixel */
    int down, right;             /* from window to window */
    int h, w, blocks;            /* windows, and vectors given for each */
} Sweep;

INLINE Sweep forward_sweep(Stage s) {
    return (Sweep){s.kernel, x_row(s), pitch(s), s.stride * x_row(s), s.stride * pitch(s), s.h, s.w, lanes(s) / LANES};
}

INLINE Sweep back_sweep(Stage s) {
    return (Sweep){s.kernel, back_row(s), back_pitch(s), back_row(s), back_pitch(s), s.in_h, s.in_w,
                   back_lanes(s) / LANES};
}

/* As `slide` of convolution.c. */
INLINE void sweep(Sweep s, const elem *x, const elem *weight, const float *start, elem *y, float *sum, float *square) {
    ROLLED for (int b = 0; b < s.blocks * LANES; b += LANES) {
        const vec from = start ? read(start + b) : (vec){0};
        vec w[s.kernel * s.kernel], total = {0}, squares = {0};
        UNROLLED for (int i = 0; i < s.kernel * s.kernel; i++) w[i] = load(weight + i * s.blocks * LANES + b);
        ROLLED for (int r = 0; r < s.h; r++)
            ROLLED for (int c = 0; c < s.w; c++) {
                const elem *window = x + r * s.down + c * s.right + b;
                vec a = from;
                UNROLLED for (int i = 0; i < s.kernel; i++)
                    UNROLLED for (int j = 0; j < s.kernel; j++)
                        a += w[i * s.kernel + j] * load(window + i * s.row + j * s.pixel);
                store(y + (r * s.w + c) * s.blocks * LANES + b, a);
                total += a, squares += a * a;
            }
        if (sum) *(vec *)(sum + b) += total, *(vec *)(square + b) += squares;
    }
}

/* dy as the input's gradient reads it: spread by the stride, with an edge of zeros. */
INLINE void depthwise_gradient(Stage s, const elem *x, const elem *dy, float *d_weight) {
    const int edge = s.kernel - 1 - s.padding;
    ROLLED for (int b = 0; b < lanes(s); b += LANES) {
        vec a[s.kernel * s.kernel];
        UNROLLED for (int i = 0; i < s.kernel * s.kernel; i++) a[i] = (vec){0};
        ROLLED for (int r = 0; r < s.h; r++)
            ROLLED for (int c = 0; c < s.w; c++) {
                const elem *window = x + s.stride * (r * x_row(s) + c * pitch(s)) + b;
                const vec d = load(dy + (edge + r * s.stride) * back_row(s) + (edge + c * s.stride) * back_pitch(s) + b);
                UNROLLED for (int i = 0; i < s.kernel; i++)
                    UNROLLED for (int j = 0; j < s.kernel; j++)
                        a[i * s.kernel + j] += d * load(window + i * x_row(s) + j * pitch(s));
            }
        UNROLLED for (int i = 0; i < s.kernel * s.kernel; i++) *(vec *)(d_weight + i * lanes(s) + b) += a[i];
    }
}
