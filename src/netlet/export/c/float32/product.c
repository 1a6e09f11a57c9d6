/* Multiply two feature maps; b_pixel is 0 if the second has one element per channel, which is broadcast. */
INLINE void multiply_maps(const float *a, const float *b, float *to, int pixels, int channels, int b_pixel)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            to[i * channels + c] = a[i * channels + c] * b[i * b_pixel + c];
}
