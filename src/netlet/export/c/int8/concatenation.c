/* Rescale a feature map into its channels of a wider one. */
INLINE void copy_channels(const struct rescale *scales, const uint8_t *from, uint8_t *to, int pixels, int channels,
                          int out_channels)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const int64_t x = (int64_t)(from[i * channels + c] - scales->zero_point_a) * scales->multiplier_a;
            to[i * out_channels + c] =
                clamp_value(round_shift(x, scales->shift) + scales->zero_point, scales->low, scales->high);
        }
}
