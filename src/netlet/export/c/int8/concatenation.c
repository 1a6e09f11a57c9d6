/* A map, brought to the new scale, to its place among the channels of a wider one. */
INLINE void place(const struct pair *of, const uint8_t *from, uint8_t *to, int pixels, int channels, int pixel)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const int64_t x = (int64_t)(from[i * channels + c] - of->zero_a) * of->multiplier_a;
            to[i * pixel + c] = clamped(shifted(x, of->shift) + of->zero, of->low, of->high);
        }
}
