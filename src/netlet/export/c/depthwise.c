/* Adds to the sums of so many channels of one pixel what lies in each one's window, times its weights. What lies in the
   padding is read from elsewhere and not left out: of reads that only some columns make, GCC 12 makes wrong vectors. */
INLINE void taps_each(const struct layer *layer, const weight *w, const number *from, sum *sums, int y, int x,
                      int lanes)
{
    const int pixel = layer->channels;
    number blanks[LANES];
    for (int o = 0; layer->padded && o < lanes; o++)
        blanks[o] = BLANK(layer);
    for (int ky = 0; ky < layer->window_height; ky++)
        for (int kx = 0; kx < layer->window_width; kx++) {
            const int row = y + ky * layer->dilation_y, column = x + kx * layer->dilation_x;
            const int inside = row >= 0 && row < layer->height && column >= 0 && column < layer->width;
            const weight *tap = w + (ky * layer->window_width + kx) * pixel;
            const number *seen = !layer->padded || inside ? from + (row * layer->width + column) * pixel : blanks;
            for (int o = 0; o < lanes; o++)
                sums[o] += (sum)seen[o] * (sum)tap[o];
        }
}

#if FAST
#define TAPS(n)                                                                                                        \
    INLINE void taps_##n(const struct layer *layer, const weight *w, const number *from, sum *sums, int y, int x)      \
    {                                                                                                                  \
        const int pixel = layer->channels;                                                                             \
        sums_##n kept = *(const sums_##n *)(const void *)sums;                                                         \
        number blanks[n]; /* in place of what lies in the padding */                                                   \
        for (int o = 0; layer->padded && o < n; o++)                                                                   \
            blanks[o] = BLANK(layer);                                                                                  \
        for (int ky = 0; ky < layer->window_height; ky++)                                                              \
            for (int kx = 0; kx < layer->window_width; kx++) {                                                         \
                const int row = y + ky * layer->dilation_y, column = x + kx * layer->dilation_x;                       \
                const weight *tap = w + (ky * layer->window_width + kx) * pixel;                                       \
                if (!layer->padded || (row >= 0 && row < layer->height && column >= 0 && column < layer->width))       \
                    kept += products_of_##n(from + (row * layer->width + column) * pixel, tap);                        \
                else                                                                                                   \
                    kept += products_of_##n(blanks, tap);                                                              \
            }                                                                                                          \
        *(sums_##n *)(void *)sums = kept;                                                                              \
    }
#if LANES >= 16
TAPS(16)
#endif
#if LANES >= 8
TAPS(8)
#endif
TAPS(4)
#endif

INLINE void taps(const struct layer *layer, const weight *w, const number *from, sum *sums, int y, int x, int lanes)
{
#if LANES >= 16
    if (lanes == 16) {
        taps_16(layer, w, from, sums, y, x);
        return;
    }
#endif
#if LANES >= 8
    if (lanes == 8) {
        taps_8(layer, w, from, sums, y, x);
        return;
    }
#endif
#if LANES >= 4
    if (lanes == 4) {
        taps_4(layer, w, from, sums, y, x);
        return;
    }
#endif
    taps_each(layer, w, from, sums, y, x, lanes);
}

/* Some channels of a pixel: bias, one window for each channel (weights lie KH KW C), whatever comes after. */
INLINE void depthwise_block(const struct layer *layer, const weight *w, const sum *channels, const number *from,
                            number *to, int y, int x, int first, int lanes)
{
    sum sums[LANES];
    for (int o = 0; o < lanes; o++)
        sums[o] = channels[first + o];
    y = y * layer->stride_y - layer->top;
    x = x * layer->stride_x - layer->left;
    taps(layer, w + first, from + first, sums, y, x, lanes);
    finish(layer, channels, sums, to, first, lanes);
}

#undef BLOCK
#define BLOCK(o, lanes) depthwise_block(layer, w, channels, from, out, y, x, o, lanes)
INLINE void depthwise(const struct layer *layer, const weight *w, const sum *channels, const number *from, number *to)
{
    const int pixel = layer->channels;
    for (int y = 0; y < layer->out_height; y++)
        for (int x = 0; x < layer->out_width; x++) {
            number *out = to + (y * layer->out_width + x) * pixel;
            int o = 0;
            for (; o + LANES <= pixel; o += LANES)
                BLOCK(o, LANES);
            LAST_BLOCKS(o, pixel)
        }
}
