/* The weights of rows or columns: an element of the output is a sum of `taps` elements from its first one on. */
struct taps {
    int32_t count, taps;
    const int32_t *first;
    const int16_t *weights;
};

/* Sum up rows and columns with weights. */
INLINE void resample(const struct taps *rows, const struct taps *columns, const struct rescale *scale,
                     const uint8_t *from, uint8_t *to, int width, int channels)
{
    for (int y = 0; y < rows->count; y++)
        for (int x = 0; x < columns->count; x++)
            for (int c = 0; c < channels; c++) {
                int64_t total = 0;
                for (int i = 0; i < rows->taps; i++) {
                    const uint8_t *row = from + (rows->first[y] + i) * width * channels + c;
                    int64_t row_sum = 0;
                    for (int j = 0; j < columns->taps; j++)
                        row_sum += (int64_t)columns->weights[x * columns->taps + j]
                               * (row[(columns->first[x] + j) * channels] - scale->zero_point_a);
                    total += rows->weights[y * rows->taps + i] * row_sum;
                }
                total = round_shift(total * scale->multiplier_a, scale->shift);
                *to++ = clamp_value(total + scale->zero_point, scale->low, scale->high);
            }
}
