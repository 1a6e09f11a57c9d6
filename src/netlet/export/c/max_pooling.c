/* The largest within each window; what lies in the padding is left out. */
INLINE void max_pooling(const struct layer *layer, const number *from, number *to)
{
    const int pixel = layer->channels;
    for (int y = 0; y < layer->out_height; y++)
        for (int x = 0; x < layer->out_width; x++, to += pixel) {
            int begun = 0;
            for (int ky = 0; ky < layer->window_height; ky++)
                for (int kx = 0; kx < layer->window_width; kx++) {
                    const int row = y * layer->stride_y - layer->top + ky;
                    const int column = x * layer->stride_x - layer->left + kx;
                    if (layer->padded && (row < 0 || row >= layer->height || column < 0 || column >= layer->width))
                        continue;
                    const number *seen = from + (row * layer->width + column) * pixel;
                    for (int c = 0; c < pixel; c++)
                        to[c] = begun && to[c] > seen[c] ? to[c] : seen[c];
                    begun = 1;
                }
        }
}
