INLINE void absolute(const float *from, float *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i] < 0.0F ? -from[i] : from[i];
}
