/* A map to its place among the channels of a wider one. */
INLINE void place(const float *from, float *to, int pixels, int channels, int pixel)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            to[i * pixel + c] = from[i * channels + c];
}
