/* Compute some channels of some columns: bias, windows times weights, store. */
INLINE void convolve_block(const struct layer *layer, const weight *w, const sum *channels, const operand *x,
                           int stride, element *to, int first, int lanes, int columns)
{
    const int width = layer->out_channels / layer->groups, pixel_stride = layer->out_channels;
    const int depth = layer->window_height * layer->window_width * (layer->channels / layer->groups);
    sum sums[MAX_COLUMNS * LANES];
    for (int t = 0; t < columns; t++)
        for (int o = 0; o < lanes; o++)
            sums[t * LANES + o] = channels[first + o];
    KEEP_IN_MEMORY(x)
    accumulate(sums, x, stride, w, width, depth, lanes, columns);
    for (int t = 0; t < columns; t++)
        store_outputs(layer, channels, sums + t * LANES, to + t * pixel_stride, first, lanes);
}

#define BLOCK(o, lanes)                                                                                                \
    convolve_block(layer, group_weights + (o) * PACK, channels, input, stride, out, g * width + (o), lanes, columns)
INLINE void convolution(const struct layer *layer, const weight *w, const sum *channels, const element *from,
                        element *to)
{
    const int groups = layer->groups, width = layer->out_channels / groups, pixel_stride = layer->out_channels;
    const int depth = layer->window_height * layer->window_width * (layer->channels / groups);
    const int packed = (depth + PACK - 1) / PACK * PACK, columns = COLUMNS(layer);
    operand windows[WINDOW_BUFFER];
    for (int y = 0; y < layer->out_height; y++)
        for (int from_column = 0; from_column < layer->out_width; from_column += columns) {
            /* The last columns of a row may be computed twice: that is faster than fewer at once. */
            const int last = layer->out_width - columns, x = from_column < last ? from_column : last;
            element *out = to + (y * layer->out_width + x) * pixel_stride;
            for (int g = 0; g < groups; g++) {
                const operand *input = windows;
                const weight *group_weights = w + g * width * packed;
                int stride = packed, o = 0;
                if (DIRECT(layer)) {
                    const int pixel = y * layer->stride_y * layer->width + x * layer->stride_x;
                    input = (const operand *)(const void *)(from + pixel * layer->channels);
                    stride = layer->stride_x * layer->channels;
                } else
                    stride = gather_windows(layer, from, y, x, columns, g, windows);
                for (; o + LANES <= width; o += LANES)
                    BLOCK(o, LANES);
                LAST_BLOCKS(o, width)
            }
        }
}
