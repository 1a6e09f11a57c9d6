/* Two maps added; of the second there may be one number for each channel. */
INLINE void add(const float *a, const float *b, float *to, int pixels, int channels, int each, float low, float high)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            to[i * channels + c] = clamped(a[i * channels + c] + b[i * each + c], low, high);
}
