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

/* Gather the windows of some columns, and return how many elements lie between two. Those of a pointwise convolution
   are copied as they lie in the input: what follows a pixel is multiplied by zeros, as PACK demands. */
INLINE int gather_windows(const struct layer *layer, const element *from, int y, int x, int columns, int group,
                          operand *to)
{
    const int channels = layer->channels / layer->groups;
    const int depth = layer->window_height * layer->window_width * channels;
    const int packed = (depth + PACK - 1) / PACK * PACK;
    const int pointwise = layer->window_height == 1 && layer->window_width == 1 && layer->groups == 1;
    if (pointwise && layer->stride_x == 1 && !layer->padded) {
        copy_elements(to, from + (y * layer->stride_y * layer->width + x) * depth, columns * depth);
        for (int n = depth; n < packed; n++)
            to[(columns - 1) * depth + n] = 0;
        return depth;
    }
    for (int t = 0; t < columns; t++)
        gather_window(layer, from, y, x + t, group, to + t * packed);
    return packed;
}
