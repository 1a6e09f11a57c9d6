INLINE uint8_t saturate(int32_t x, int low, int high)
{
    return (uint8_t)(x < low ? low : x > high ? high : x);
}
