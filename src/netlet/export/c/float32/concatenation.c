/* Copy a feature map into its channels of a wider one. */
INLINE void copy_channels(const float *from, float *to, int pixels, int channels, int out_channels)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            to[i * out_channels + c] = from[i * channels + c];
}
