/* Add two feature maps, each with its own multiplier; b_pixel is 0 if the second has one element per channel, which is
   broadcast. */
INLINE void add_maps(const struct rescale *scales, const uint8_t *a, const uint8_t *b, uint8_t *to, int pixels,
                     int channels, int b_pixel)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const int64_t left = (int64_t)(a[i * channels + c] - scales->zero_point_a) * scales->multiplier_a;
            const int64_t right = (int64_t)(b[i * b_pixel + c] - scales->zero_point_b) * scales->multiplier_b;
            to[i * channels + c] =
                clamp_value(round_shift(left + right, scales->shift) + scales->zero_point, scales->low, scales->high);
        }
}
