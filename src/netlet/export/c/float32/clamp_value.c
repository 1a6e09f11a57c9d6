INLINE float clamp_value(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}
