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

/* Pixels whose sum is added to the others at once: a long sum of single numbers would lose more to rounding. */
enum { RUN = 16 };

/* Normalize groups of `width` channels of `pixels` pixels: minus their mean, divided by their standard deviation. From
   one group to the next there are `step` elements. What rounding has added to the mean is taken out again: of a map that
   is nearly constant, it would be much larger than the deviations. */
INLINE void normalize(const float *from, float *to, int groups, int step, int pixels, int width, int channels,
                      float eps)
{
    for (int g = 0; g < groups; g++, from += step, to += step) {
        const float count = (float)(pixels * width);
        float mean = 0.0F, rest = 0.0F, variance = 0.0F;
        for (int first = 0; first < pixels; first += RUN) {
            const int end = pixels - first < RUN ? pixels : first + RUN;
            float part = 0.0F;
            for (int i = first; i < end; i++)
                for (int c = 0; c < width; c++)
                    part += from[i * channels + c];
            mean += part;
        }
        mean /= count;
        for (int first = 0; first < pixels; first += RUN) {
            const int end = pixels - first < RUN ? pixels : first + RUN;
            float part = 0.0F, squares = 0.0F;
            for (int i = first; i < end; i++)
                for (int c = 0; c < width; c++) {
                    const float x = from[i * channels + c] - mean;
                    part += x;
                    squares += x * x;
                }
            rest += part;
            variance += squares;
        }
        rest /= count;
        mean += rest;
        const float scale = inverse_root(variance / count - rest * rest + eps);
        for (int i = 0; i < pixels; i++)
            for (int c = 0; c < width; c++)
                to[i * channels + c] = (from[i * channels + c] - mean) * scale;
    }
}
