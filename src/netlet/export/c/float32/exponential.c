/* e^x to float precision, without <math.h>: 2^n times a polynomial of what is left (Cephes). */
INLINE float exponential(float x)
{
    union {
        float number;
        uint32_t bits;
    } power;
    x = clamp_value(x, -87.0F, 88.0F);
    const int n = (int)(x * 1.44269504F + (x < 0.0F ? -0.5F : 0.5F));
    const float r = x - (float)n * 0.693359375F + (float)n * 2.12194440e-4F;
    float y = 1.9875691500e-4F * r + 1.3981999507e-3F;
    y = y * r + 8.3334519073e-3F;
    y = y * r + 4.1665795894e-2F;
    y = y * r + 1.6666665459e-1F;
    y = y * r + 5.0000001201e-1F;
    power.bits = (uint32_t)(n + 127) << 23;
    return (y * r * r + r + 1.0F) * power.number;
}
