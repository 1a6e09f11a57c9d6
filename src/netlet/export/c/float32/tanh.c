INLINE void hyperbolic_tangents(const float *from, float *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = 1.0F - 2.0F / (1.0F + exponential(2.0F * from[i]));
}
