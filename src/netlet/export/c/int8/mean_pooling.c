/* The mean of each window, without padding or, with count_include_pad, counting it as zeros; with int32_output
   the sum. */
INLINE void mean_pooling(const struct layer *layer, int32_t multiplier, const uint8_t *from, uint8_t *to)
{
    const int pixel_stride = layer->channels, area = layer->window_height * layer->window_width;
    for (int y = 0; y < layer->out_height; y++)
        for (int x = 0; x < layer->out_width; x++, to += pixel_stride)
            for (int c = 0; c < pixel_stride; c++) {
                int32_t total = 0;
                int count = 0;
                for (int ky = 0; ky < layer->window_height; ky++)
                    for (int kx = 0; kx < layer->window_width; kx++) {
                        const int row = y * layer->stride_y - layer->top + ky;
                        const int column = x * layer->stride_x - layer->left + kx;
                        if (layer->padded && (row < 0 || row >= layer->height || column < 0 || column >= layer->width))
                            continue;
                        total += from[(row * layer->width + column) * pixel_stride + c] - layer->pad_value;
                        count++;
                    }
                if (layer->int32_output)
                    ((int32_t *)(void *)to)[c] = total;
                else {
                    const int64_t parts = (int64_t)(layer->count_include_pad ? area : count) << layer->shift;
                    to[c] = clamp_value(round_divide((int64_t)total * multiplier, parts) + layer->zero_point, 0, 255);
                }
            }
}
