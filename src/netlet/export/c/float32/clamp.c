INLINE void clamp(const float *from, float *to, int n, float low, float high)
{
    for (int i = 0; i < n; i++)
        to[i] = clamp_value(from[i], low, high);
}
