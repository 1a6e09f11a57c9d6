/* Multiply negative elements with the slope of their channel. */
INLINE void prelu(const float *slopes, const float *from, float *to, int pixels, int channels)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const float x = from[i * channels + c];
            to[i * channels + c] = x < 0.0F ? slopes[c] * x : x;
        }
}
