/* Copy a group's channels within a window to a buffer, then zeros up to a multiple of PACK. */
INLINE void gather_window(const struct layer *layer, const element *from, int y, int x, int group, operand *to)
{
    const int channels = layer->channels / layer->groups, pixel_stride = layer->channels;
    /* Columns that are contiguous in the input are copied at once. */
    const int contiguous = !layer->padded && layer->dilation_x == 1 && layer->groups == 1;
    const int step = contiguous ? layer->window_width : 1;
    int n = 0;
    from += group * channels;
    y = y * layer->stride_y - layer->top;
    x = x * layer->stride_x - layer->left;
    for (int ky = 0; ky < layer->window_height; ky++, y += layer->dilation_y) {
        const int row_inside = !layer->padded || (y >= 0 && y < layer->height);
        for (int kx = 0; kx < layer->window_width; kx += step) {
            const int column = x + kx * layer->dilation_x;
            if (!layer->padded || (row_inside && column >= 0 && column < layer->width))
                copy_elements(to + n, from + (y * layer->width + column) * pixel_stride, step * channels);
            else
                for (int c = 0; c < channels; c++)
                    to[n + c] = PAD_VALUE(layer);
            n += step * channels;
        }
    }
    while (n % PACK)
        to[n++] = 0;
}
