/* What it takes to combine two maps. */
struct pair {
    int32_t multiplier_a, multiplier_b;
    int16_t zero_a, zero_b, zero, low, high, shift;
};
