/* Two maps added, each by its own multiplier; of the second there may be one number for each channel. */
INLINE void add(const struct pair *of, const uint8_t *a, const uint8_t *b, uint8_t *to, int pixels, int channels,
                int each)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const int64_t one = (int64_t)(a[i * channels + c] - of->zero_a) * of->multiplier_a;
            const int64_t other = (int64_t)(b[i * each + c] - of->zero_b) * of->multiplier_b;
            to[i * channels + c] = clamped(shifted(one + other, of->shift) + of->zero, of->low, of->high);
        }
}
