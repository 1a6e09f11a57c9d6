/* The error function to 2e-7 (Abramowitz and Stegun 7.1.26). */
INLINE float error_function(float x)
{
    const float size = x < 0.0F ? -x : x, t = 1.0F / (1.0F + 0.3275911F * size);
    float y = 1.061405429F * t - 1.453152027F;
    y = y * t + 1.421413741F;
    y = y * t - 0.284496736F;
    y = y * t + 0.254829592F;
    y = 1.0F - y * t * exponential(-size * size);
    return x < 0.0F ? -y : y;
}

INLINE void gelu(const float *from, float *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = 0.5F * from[i] * (1.0F + error_function(from[i] * 0.707106781F));
}
