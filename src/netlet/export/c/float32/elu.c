INLINE void elu(const float *from, float *to, int n, float alpha)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i] < 0.0F ? alpha * (exponential(from[i]) - 1.0F) : from[i];
}
