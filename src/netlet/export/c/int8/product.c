/* Two maps multiplied; of the second there may be one number for each channel. */
INLINE void multiply(const struct pair *of, const uint8_t *a, const uint8_t *b, uint8_t *to, int pixels, int channels,
                     int each)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const int32_t both = (int32_t)(a[i * channels + c] - of->zero_a) * (b[i * each + c] - of->zero_b);
            const int64_t x = shifted((int64_t)both * of->multiplier_a, of->shift);
            to[i * channels + c] = clamped(x + of->zero, of->low, of->high);
        }
}
