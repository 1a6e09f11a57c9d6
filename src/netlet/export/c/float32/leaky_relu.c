INLINE void leaky_relu(const float *from, float *to, int n, float slope)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i] < 0.0F ? slope * from[i] : from[i];
}
