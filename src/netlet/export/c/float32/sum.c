/* Add two feature maps; b_pixel is 0 if the second has one element per channel, which is broadcast. */
INLINE void add_maps(const float *a, const float *b, float *to, int pixels, int channels, int b_pixel, float low,
                     float high)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            to[i * channels + c] = clamp_value(a[i * channels + c] + b[i * b_pixel + c], low, high);
}
