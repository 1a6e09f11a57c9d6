/* Some channels of some columns: bias, window times weights, whatever comes after. */
INLINE void block(const struct layer *layer, const weight *w, const sum *channels, const number *x, int stride,
                  number *to, int first, int lanes, int columns)
{
    const int width = layer->out_channels / layer->groups, pixel = layer->out_channels;
    const int depth = layer->window_height * layer->window_width * (layer->channels / layer->groups);
    sum sums[MOST_COLUMNS * LANES];
    for (int t = 0; t < columns; t++)
        for (int o = 0; o < lanes; o++)
            sums[t * LANES + o] = channels[first + o];
    accumulate(sums, x, stride, w, width, depth, lanes, columns);
    for (int t = 0; t < columns; t++)
        finish(layer, channels, sums + t * LANES, to + t * pixel, first, lanes);
}

#define BLOCK(o, lanes)                                                                                                \
    block(layer, of_group + (o) * PACK, channels, seen, stride, out, g * width + (o), lanes, columns)
INLINE void convolution(const struct layer *layer, const weight *w, const sum *channels, const number *from, number *to)
{
    const int groups = layer->groups, width = layer->out_channels / groups, pixel = layer->out_channels;
    const int depth = layer->window_height * layer->window_width * (layer->channels / groups);
    const int packed = (depth + PACK - 1) / PACK * PACK, columns = COLUMNS(layer);
    number windows[WINDOWS];
    for (int y = 0; y < layer->out_height; y++)
        for (int from_column = 0; from_column < layer->out_width; from_column += columns) {
            /* The last columns of a row may be done twice: that is sooner than fewer at once. */
            const int last = layer->out_width - columns, x = from_column < last ? from_column : last;
            number *out = to + (y * layer->out_width + x) * pixel;
            for (int g = 0; g < groups; g++) {
                const number *seen = windows;
                const weight *of_group = w + g * width * packed;
                int stride = packed, o = 0;
                if (layer->direct) {
                    seen = from + (y * layer->stride_y * layer->width + x * layer->stride_x) * layer->channels;
                    stride = layer->stride_x * layer->channels;
                } else
                    for (int t = 0; t < columns; t++)
                        window(layer, from, y, x + t, g, windows + t * packed);
                for (; o + LANES <= width; o += LANES)
                    BLOCK(o, LANES);
                LAST_BLOCKS(o, width)
            }
        }
}
