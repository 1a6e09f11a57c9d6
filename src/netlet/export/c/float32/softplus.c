/* log(1 + e^x) = max(x, 0) + log(1 + u) with u = e^-|x|; the logarithm by its series in s = u / (2 + u). */
INLINE void softplus(const float *from, float *to, int n)
{
    for (int i = 0; i < n; i++) {
        const float x = from[i], u = exponential(x < 0.0F ? x : -x), s = u / (2.0F + u), t = s * s;
        float y = t * (1.0F / 13.0F) + 1.0F / 11.0F;
        y = y * t + 1.0F / 9.0F;
        y = y * t + 1.0F / 7.0F;
        y = y * t + 0.2F;
        y = y * t + 1.0F / 3.0F;
        y = y * t + 1.0F;
        to[i] = (x < 0.0F ? 0.0F : x) + 2.0F * s * y;
    }
}
