/* Multiply positive elements with the first number, and negative ones with that of their channel. */
INLINE void prelu(const int32_t *multipliers, const uint8_t *from, uint8_t *to, int pixels, int channels, int from_zero,
                  int to_zero, int shift)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const int x = from[i * channels + c] - from_zero;
            const int64_t product = (int64_t)x * multipliers[x < 0 ? 1 + c : 0];
            to[i * channels + c] = clamp_value(round_shift(product, shift) + to_zero, 0, 255);
        }
}
