/* The mean of each window, without padding or, with count_include_pad, counting it as zeros. */
INLINE void mean_pooling(const struct layer *layer, const float *from, float *to)
{
    const int pixel_stride = layer->channels, area = layer->window_height * layer->window_width;
    for (int y = 0; y < layer->out_height; y++)
        for (int x = 0; x < layer->out_width; x++, to += pixel_stride) {
            int count = 0;
            for (int c = 0; c < pixel_stride; c++)
                to[c] = 0.0F;
            for (int ky = 0; ky < layer->window_height; ky++)
                for (int kx = 0; kx < layer->window_width; kx++) {
                    const int row = y * layer->stride_y - layer->top + ky;
                    const int column = x * layer->stride_x - layer->left + kx;
                    if (layer->padded && (row < 0 || row >= layer->height || column < 0 || column >= layer->width))
                        continue;
                    const float *input = from + (row * layer->width + column) * pixel_stride;
                    for (int c = 0; c < pixel_stride; c++)
                        to[c] += input[c];
                    count++;
                }
            for (int c = 0; c < pixel_stride; c++)
                to[c] /= (float)(layer->count_include_pad ? area : count);
        }
}
