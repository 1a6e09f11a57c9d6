/* The maximum of each window, without padding. */
INLINE void max_pooling(const struct layer *layer, const element *from, element *to)
{
    const int pixel_stride = layer->channels;
    for (int y = 0; y < layer->out_height; y++)
        for (int x = 0; x < layer->out_width; x++, to += pixel_stride) {
            int started = 0;
            for (int ky = 0; ky < layer->window_height; ky++)
                for (int kx = 0; kx < layer->window_width; kx++) {
                    const int row = y * layer->stride_y - layer->top + ky;
                    const int column = x * layer->stride_x - layer->left + kx;
                    if (layer->padded && (row < 0 || row >= layer->height || column < 0 || column >= layer->width))
                        continue;
                    keep_largest(from + (row * layer->width + column) * pixel_stride, to, pixel_stride, started);
                    started = 1;
                }
        }
}
