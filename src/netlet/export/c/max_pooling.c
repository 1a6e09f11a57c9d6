/* The maximum of each window, without padding, of the channels from `first` to `end`. */
INLINE void pool_channels(const struct layer *layer, const element *from, element *to, int y, int x, int first, int end)
{
    int started = 0;
    for (int ky = 0; ky < layer->window_height; ky++)
        for (int kx = 0; kx < layer->window_width; kx++) {
            const int row = y * layer->stride_y - layer->top + ky, column = x * layer->stride_x - layer->left + kx;
            if (layer->padded && (row < 0 || row >= layer->height || column < 0 || column >= layer->width))
                continue;
            const element *input = from + (row * layer->width + column) * layer->channels;
            for (int c = first; c < end; c++)
                to[c] = started && to[c] > input[c] ? to[c] : input[c];
            started = 1;
        }
}

INLINE void max_pooling(const struct layer *layer, const element *from, element *to)
{
    for (int y = 0; y < layer->out_height; y++)
        for (int x = 0; x < layer->out_width; x++, to += layer->channels)
            pool_channels(layer, from, to, y, x, pool_vectors(layer, from, to, y, x), layer->channels);
}
