/* How to bring one or two feature maps to the scale of the output. */
struct rescale {
    int32_t multiplier_a, multiplier_b;
    int16_t zero_point_a, zero_point_b, zero_point, low, high, shift;
};
