/* 1 / sqrt(x) for x > 0, by Newton's method from a first guess that halves the exponent. */
INLINE float inverse_root(float x)
{
    union {
        float number;
        uint32_t bits;
    } guess;
    guess.number = x;
    guess.bits = 0x5F3759DFU - (guess.bits >> 1);
    for (int i = 0; i < 4; i++)
        guess.number *= 1.5F - 0.5F * x * guess.number * guess.number;
    return guess.number;
}

/* Normalize groups of `width` channels of `pixels` pixels: minus their mean, divided by their standard deviation. From
   one group to the next there are `step` elements. */
INLINE void normalize(const float *from, float *to, int groups, int step, int pixels, int width, int channels,
                      float eps)
{
    for (int g = 0; g < groups; g++, from += step, to += step) {
        float mean = 0.0F, variance = 0.0F;
        for (int i = 0; i < pixels; i++)
            for (int c = 0; c < width; c++)
                mean += from[i * channels + c];
        mean /= (float)(pixels * width);
        for (int i = 0; i < pixels; i++)
            for (int c = 0; c < width; c++)
                variance += (from[i * channels + c] - mean) * (from[i * channels + c] - mean);
        const float scale = inverse_root(variance / (float)(pixels * width) + eps);
        for (int i = 0; i < pixels; i++)
            for (int c = 0; c < width; c++)
                to[i * channels + c] = (from[i * channels + c] - mean) * scale;
    }
}
