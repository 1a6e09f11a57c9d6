/* Copy a group's channels within a window to a buffer, then zeros up to a multiple of PACK. */
INLINE void gather_window(const struct layer *layer, const element *from, int y, int x, int group, element *to)
{
    const int channels = layer->channels / layer->groups, pixel_stride = layer->channels;
    int n = 0;
    from += group * channels;
    y = y * layer->stride_y - layer->top;
    x = x * layer->stride_x - layer->left;
    for (int ky = 0; ky < layer->window_height; ky++, y += layer->dilation_y) {
        const int row_inside = !layer->padded || (y >= 0 && y < layer->height);
        for (int kx = 0; kx < layer->window_width; kx++) {
            const int column = x + kx * layer->dilation_x;
            const int inside = !layer->padded || (row_inside && column >= 0 && column < layer->width);
            const element *pixel = inside ? from + (y * layer->width + column) * pixel_stride : from;
            for (int c = 0; c < channels; c++)
                to[n++] = inside ? pixel[c] : PAD_VALUE(layer);
        }
    }
    while (n % PACK)
        to[n++] = 0;
}
