/* Two maps multiplied; of the second there may be one number for each channel. */
INLINE void multiply(const float *a, const float *b, float *to, int pixels, int channels, int each)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            to[i * channels + c] = a[i * channels + c] * b[i * each + c];
}
