INLINE void gelu_tanh(const float *from, float *to, int n)
{
    for (int i = 0; i < n; i++) {
        const float x = from[i];
        to[i] = x / (1.0F + exponential(-1.59576912F * (x + 0.044715F * x * x * x)));
    }
}
