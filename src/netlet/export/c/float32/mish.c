/* With n = (1 + e^x)^2 - 1, mish is x n / (n + 2); beyond 20, it is x. */
INLINE void mish(const float *from, float *to, int n)
{
    for (int i = 0; i < n; i++) {
        const float e = exponential(from[i] < 20.0F ? from[i] : 20.0F), squares = e * (e + 2.0F);
        to[i] = from[i] * squares / (squares + 2.0F);
    }
}
