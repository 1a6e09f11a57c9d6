/* The weights of rows or columns: an element of the output is a sum of `taps` elements from its first one on. */
struct taps {
    int32_t count, taps;
    const int32_t *first;
    const float *weights;
};

/* Sum up rows and columns with weights. */
INLINE void resample(const struct taps *rows, const struct taps *columns, const float *from, float *to, int width,
                     int channels)
{
    for (int y = 0; y < rows->count; y++)
        for (int x = 0; x < columns->count; x++)
            for (int c = 0; c < channels; c++) {
                float total = 0.0F;
                for (int i = 0; i < rows->taps; i++) {
                    const float *row = from + (rows->first[y] + i) * width * channels + c;
                    float row_sum = 0.0F;
                    for (int j = 0; j < columns->taps; j++)
                        row_sum += columns->weights[x * columns->taps + j] * row[(columns->first[x] + j) * channels];
                    total += rows->weights[y * rows->taps + i] * row_sum;
                }
                *to++ = total;
            }
}
