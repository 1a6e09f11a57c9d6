INLINE void silu(const float *from, float *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i] / (1.0F + exponential(-from[i]));
}
