/* Add the products of each channel's window and weights to the sums of `lanes` channels of a pixel. Padding is read
   from an array of its own instead of being skipped: GCC 12 vectorizes conditional reads incorrectly. */
INLINE void accumulate_taps_each(const struct layer *layer, const weight *w, const element *from, sum *sums, int y,
                                 int x, int lanes)
{
    const int pixel_stride = layer->channels;
    element padding[LANES];
    for (int o = 0; layer->padded && o < lanes; o++)
        padding[o] = PAD_VALUE(layer);
    for (int ky = 0; ky < layer->window_height; ky++)
        for (int kx = 0; kx < layer->window_width; kx++) {
            const int row = y + ky * layer->dilation_y, column = x + kx * layer->dilation_x;
            const int inside = row >= 0 && row < layer->height && column >= 0 && column < layer->width;
            const weight *tap = w + (ky * layer->window_width + kx) * pixel_stride;
            const element *input =
                !layer->padded || inside ? from + (row * layer->width + column) * pixel_stride : padding;
            for (int o = 0; o < lanes; o++)
                sums[o] += (sum)input[o] * (sum)tap[o];
        }
}

#if LANES >= 4
#define TAPS(n)                                                                                                        \
    INLINE void accumulate_taps_##n(const struct layer *layer, const weight *w, const element *from, sum *sums, int y, \
                                    int x)                                                                             \
    {                                                                                                                  \
        const int pixel_stride = layer->channels;                                                                      \
        sums_##n totals = *(const sums_##n *)(const void *)sums;                                                       \
        element padding[n]; /* read in place of the padding */                                                         \
        for (int o = 0; layer->padded && o < n; o++)                                                                   \
            padding[o] = PAD_VALUE(layer);                                                                             \
        for (int ky = 0; ky < layer->window_height; ky++)                                                              \
            for (int kx = 0; kx < layer->window_width; kx++) {                                                         \
                const int row = y + ky * layer->dilation_y, column = x + kx * layer->dilation_x;                       \
                const weight *tap = w + (ky * layer->window_width + kx) * pixel_stride;                                \
                if (!layer->padded || (row >= 0 && row < layer->height && column >= 0 && column < layer->width))       \
                    totals += products_of_##n(from + (row * layer->width + column) * pixel_stride, tap);               \
                else                                                                                                   \
                    totals += products_of_##n(padding, tap);                                                           \
            }                                                                                                          \
        *(sums_##n *)(void *)sums = totals;                                                                            \
    }
#if LANES >= 16
TAPS(16)
#endif
#if LANES >= 8
TAPS(8)
#endif
TAPS(4)
#endif

INLINE void accumulate_taps(const struct layer *layer, const weight *w, const element *from, sum *sums, int y, int x,
                            int lanes)
{
#if LANES >= 16
    if (lanes == 16) {
        accumulate_taps_16(layer, w, from, sums, y, x);
        return;
    }
#endif
#if LANES >= 8
    if (lanes == 8) {
        accumulate_taps_8(layer, w, from, sums, y, x);
        return;
    }
#endif
#if LANES >= 4
    if (lanes == 4) {
        accumulate_taps_4(layer, w, from, sums, y, x);
        return;
    }
#endif
    accumulate_taps_each(layer, w, from, sums, y, x, lanes);
}

/* Compute some channels of a pixel: bias, one window per channel (weights are stored KH KW C), store. */
INLINE void depthwise_block(const struct layer *layer, const weight *w, const sum *channels, const element *from,
                            element *to, int y, int x, int first, int lanes)
{
    sum sums[LANES];
    for (int o = 0; o < lanes; o++)
        sums[o] = channels[first + o];
    y = y * layer->stride_y - layer->top;
    x = x * layer->stride_x - layer->left;
    accumulate_taps(layer, w + first, from + first, sums, y, x, lanes);
    store_outputs(layer, channels, sums, to, first, lanes);
}

#undef BLOCK
#define BLOCK(o, lanes) depthwise_block(layer, w, channels, from, out, y, x, o, lanes)
INLINE void depthwise(const struct layer *layer, const weight *w, const sum *channels, const element *from, element *to)
{
    const int pixel_stride = layer->channels;
    for (int y = 0; y < layer->out_height; y++)
        for (int x = 0; x < layer->out_width; x++) {
            element *out = to + (y * layer->out_width + x) * pixel_stride;
            int o = 0;
            for (; o + LANES <= pixel_stride; o += LANES)
                BLOCK(o, LANES);
            LAST_BLOCKS(o, pixel_stride)
        }
}
