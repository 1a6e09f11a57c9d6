/* The integers of a norm; n is the number of elements in a group. */
struct norm {
    int64_t numerator;
    uint64_t eps; /* times n^2, and divided by the square of the scale */
    int32_t groups, step, pixels, width, channels;
    int16_t bits, shift, zero_point_from, zero_point;
};

/* The largest integer whose square is not larger than x. */
INLINE int64_t root_of(uint64_t x)
{
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 62; bit; bit >>= 2)
        if (x >= root + bit) {
            x -= root + bit;
            root = (root >> 1) + bit;
        } else
            root >>= 1;
    return (int64_t)root;
}

/* Normalize groups of `width` channels of `pixels` pixels: minus their mean, divided by their standard deviation. From
   one group to the next there are `step` elements. Sums are exact; the root has `bits` bits after the point. */
INLINE void normalize(const struct norm *norm, const uint8_t *from, uint8_t *to)
{
    const int64_t count = (int64_t)norm->pixels * norm->width;
    for (int g = 0; g < norm->groups; g++, from += norm->step, to += norm->step) {
        int64_t total = 0, squares = 0;
        for (int i = 0; i < norm->pixels; i++)
            for (int c = 0; c < norm->width; c++) {
                const int32_t x = from[i * norm->channels + c] - norm->zero_point_from;
                total += x;
                squares += x * x;
            }
        const uint64_t variance = (uint64_t)(count * squares - total * total) + norm->eps;
        const int64_t root = root_of(variance << (2 * norm->bits));
        const int64_t multiplier = (norm->numerator + root / 2) / root;
        for (int i = 0; i < norm->pixels; i++)
            for (int c = 0; c < norm->width; c++) {
                const int32_t x = from[i * norm->channels + c] - norm->zero_point_from;
                const int64_t scaled = round_shift((count * x - total) * multiplier, norm->shift);
                to[i * norm->channels + c] = clamp_value(scaled + norm->zero_point, 0, 255);
            }
    }
}
