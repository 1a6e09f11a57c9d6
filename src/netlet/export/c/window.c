/* The numbers of a group's channels within a window, side by side, then zeros up to a multiple of PACK. */
INLINE void window(const struct layer *layer, const number *from, int y, int x, int group, number *to)
{
    const int channels = layer->channels / layer->groups, whole = layer->channels;
    int n = 0;
    from += group * channels;
    y = y * layer->stride_y - layer->top;
    x = x * layer->stride_x - layer->left;
    for (int ky = 0; ky < layer->window_height; ky++, y += layer->dilation_y) {
        const int in_rows = !layer->padded || (y >= 0 && y < layer->height);
        for (int kx = 0; kx < layer->window_width; kx++) {
            const int at = x + kx * layer->dilation_x;
            const int inside = !layer->padded || (in_rows && at >= 0 && at < layer->width);
            const number *pixel = inside ? from + (y * layer->width + at) * whole : from;
            for (int c = 0; c < channels; c++)
                to[n++] = inside ? pixel[c] : BLANK(layer);
        }
    }
    while (n % PACK)
        to[n++] = 0;
}
