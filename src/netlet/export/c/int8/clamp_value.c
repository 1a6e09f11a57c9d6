INLINE uint8_t clamp_value(int64_t x, int low, int high)
{
    return (uint8_t)(x < low ? low : x > high ? high : x);
}
