/* Multiply two feature maps; b_pixel is 0 if the second has one element per channel, which is broadcast. */
INLINE void multiply_maps(const struct rescale *scales, const uint8_t *a, const uint8_t *b, uint8_t *to, int pixels,
                          int channels, int b_pixel)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const int32_t product =
                (int32_t)(a[i * channels + c] - scales->zero_point_a) * (b[i * b_pixel + c] - scales->zero_point_b);
            const int64_t x = round_shift((int64_t)product * scales->multiplier_a, scales->shift);
            to[i * channels + c] = clamp_value(x + scales->zero_point, scales->low, scales->high);
        }
}
