INLINE void hardswish(const float *from, float *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i] * clamp_value(from[i] + 3.0F, 0.0F, 6.0F) / 6.0F;
}
