/* A depthwise convolution whose sums fit 16 bits. channels: for each channel the bias, then for each the multiplier,
   then for each the offset, which is added to the product. Weights are stored as KH KW C. */
#if SIMD
/* Outputs beside each other are computed at once, whatever their channels: the numbers of the channels are repeated, so
   that those from any channel on stand side by side. */
#if defined(__AVX2__)
#define RUN 16
#else
#define RUN 8
#endif
#define REPEATED (NETLET_NARROW_CHANNELS + RUN - 1)
struct repeated {
    uint16_t bias[REPEATED], multipliers[REPEATED], offsets[REPEATED], weights[NETLET_NARROW_TAPS * REPEATED];
};

/* n outputs, the first of which has this channel. from: the input of the first tap. */
#define NARROW_RUN(n)                                                                                                  \
    INLINE void narrow_run_##n(const struct layer *layer, const struct repeated *numbers, const uint8_t *from,         \
                               int row_stride, int channel, uint8_t *to)                                               \
    {                                                                                                                  \
        const uint16_t *taps = numbers->weights + channel;                                                             \
        words_##n total = *(const words_##n *)(const void *)(numbers->bias + channel);                                 \
        for (int ky = 0; ky < layer->window_height; ky++)                                                              \
            for (int kx = 0; kx < layer->window_width; kx++, taps += REPEATED) {                                       \
                const uint8_t *input = from + ky * row_stride + kx * layer->dilation_x * layer->channels;              \
                total += extend_##n(input) * *(const words_##n *)(const void *)taps;                                   \
            }                                                                                                          \
        total = multiply_high_##n(total, *(const words_##n *)(const void *)(numbers->multipliers + channel));          \
        total += *(const words_##n *)(const void *)(numbers->offsets + channel);                                       \
        store_##n(total, layer->low, layer->high, to);                                                                 \
    }                                                                                                                  \
    /* As many outputs as fit; the last n may overlap others. */                                                       \
    INLINE void narrow_runs_##n(const struct layer *layer, const struct repeated *numbers, const uint8_t *from,        \
                                int row_stride, int outputs, uint8_t *to)                                              \
    {                                                                                                                  \
        int i = 0;                                                                                                     \
        for (; i + n <= outputs; i += n)                                                                               \
            narrow_run_##n(layer, numbers, from + i, row_stride, i % layer->channels, to + i);                         \
        if (i < outputs) {                                                                                             \
            i = outputs - n;                                                                                           \
            narrow_run_##n(layer, numbers, from + i, row_stride, i % layer->channels, to + i);                         \
        }                                                                                                              \
    }
#if RUN >= 16
NARROW_RUN(16)
#endif
NARROW_RUN(8)

INLINE void narrow_outputs(const struct layer *layer, const struct repeated *numbers, const uint8_t *from,
                           int row_stride, int outputs, uint8_t *to)
{
#if RUN >= 16
    if (outputs >= 16) {
        narrow_runs_16(layer, numbers, from, row_stride, outputs, to);
        return;
    }
#endif
    if (outputs >= 8) {
        narrow_runs_8(layer, numbers, from, row_stride, outputs, to);
        return;
    }
    for (int i = 0; i < outputs; i++) {
        const int channel = i % layer->channels;
        int32_t total = numbers->bias[channel];
        for (int ky = 0; ky < layer->window_height; ky++)
            for (int kx = 0; kx < layer->window_width; kx++) {
                const uint16_t tap = numbers->weights[(ky * layer->window_width + kx) * REPEATED + channel];
                total += from[ky * row_stride + kx * layer->dilation_x * layer->channels + i] * (int16_t)tap;
            }
        total = (int32_t)((uint32_t)total * numbers->multipliers[channel] >> 16) + (int16_t)numbers->offsets[channel];
        to[i] = saturate(total, layer->low, layer->high);
    }
}

INLINE void repeat_numbers(uint16_t *to, int channels)
{
    for (int i = channels; i < channels + RUN - 1; i++)
        to[i] = to[i - channels];
}

/* Copy a row of the input, with the padding beside it; a row outside is padding. */
INLINE void copy_padded_row(const struct layer *layer, const uint8_t *from, int row, int width, uint8_t *to)
{
    const int channels = layer->channels, outside = row < 0 || row >= layer->height;
    const int first = layer->left > 0 ? layer->left : 0, end = layer->width + layer->left;
    for (int i = 0; i < width * channels; i++)
        to[i] = PAD_VALUE(layer);
    for (int x = first; !outside && x < end && x < width; x++)
        for (int c = 0; c < channels; c++)
            to[x * channels + c] = from[(row * layer->width + x - layer->left) * channels + c];
}

INLINE void narrow_depthwise(const struct layer *layer, const int8_t *w, const uint16_t *channels, const uint8_t *from,
                             uint8_t *to)
{
    const int n = layer->channels, taps = layer->window_height * layer->window_width;
    const int width = (layer->out_width - 1) * layer->stride_x + (layer->window_width - 1) * layer->dilation_x + 1;
    struct repeated numbers;
    uint8_t rows[NETLET_NARROW_ROWS];
    for (int c = 0; c < n; c++) {
        numbers.bias[c] = channels[c];
        numbers.multipliers[c] = channels[n + c];
        numbers.offsets[c] = channels[2 * n + c];
    }
    repeat_numbers(numbers.bias, n);
    repeat_numbers(numbers.multipliers, n);
    repeat_numbers(numbers.offsets, n);
    for (int tap = 0; tap < taps; tap++) {
        for (int c = 0; c < n; c++)
            numbers.weights[tap * REPEATED + c] = (uint16_t)w[tap * n + c];
        repeat_numbers(numbers.weights + tap * REPEATED, n);
    }
    for (int y = 0; y < layer->out_height; y++, to += layer->out_width * n) {
        const int row = y * layer->stride_y - layer->top;
        const uint8_t *input = rows;
        int row_stride = width * n;
        if (layer->padded)
            for (int ky = 0; ky < layer->window_height; ky++)
                copy_padded_row(layer, from, row + ky * layer->dilation_y, width, rows + ky * row_stride);
        else {
            input = from + row * layer->width * n;
            row_stride = layer->dilation_y * layer->width * n;
        }
        if (layer->stride_x == 1)
            narrow_outputs(layer, &numbers, input, row_stride, layer->out_width * n, to);
        else
            for (int x = 0; x < layer->out_width; x++)
                narrow_outputs(layer, &numbers, input + x * layer->stride_x * n, row_stride, n, to + x * n);
    }
}

#else
/* The products of a channel's window. Without padding, nothing is asked about each element. */
INLINE int32_t add_window(const struct layer *layer, const int8_t *w, const uint8_t *from, int row, int column, int c)
{
    const int n = layer->channels, step = layer->dilation_x * n, padded = layer->padded;
    int32_t total = 0;
    w += c;
    for (int ky = layer->window_height; ky > 0; ky--, row += layer->dilation_y) {
        int at = (row * layer->width + column) * n + c;
        if (!padded)
            for (int kx = layer->window_width; kx > 0; kx--, at += step, w += n)
                total += from[at] * *w;
        else
            for (int kx = 0, x = column; kx < layer->window_width; kx++, at += step, w += n, x += layer->dilation_x) {
                const int inside = row >= 0 && row < layer->height && x >= 0 && x < layer->width;
                total += (inside ? from[at] : PAD_VALUE(layer)) * *w;
            }
    }
    return total;
}

INLINE void narrow_depthwise(const struct layer *layer, const int8_t *w, const uint16_t *channels, const uint8_t *from,
                             uint8_t *to)
{
    const int n = layer->channels;
    for (int y = 0; y < layer->out_height; y++)
        for (int x = 0; x < layer->out_width; x++)
            for (int c = 0; c < n; c++) {
                const int row = y * layer->stride_y - layer->top, column = x * layer->stride_x - layer->left;
                const int32_t total = channels[c] + add_window(layer, w, from, row, column, c);
                const int32_t scaled = (int32_t)((uint32_t)total * channels[n + c] >> 16);
                *to++ = saturate(scaled + (int16_t)channels[2 * n + c], layer->low, layer->high);
            }
}
#endif
