/* Element-wise functions of vectors. */

INLINE vec constant(float value) { return (vec){0} + value; }

/* e^x to about 1e-7 of its value; x is clamped to where the result is a normal number. */
INLINE vec exp_of(vec x) {
    vec t = x * 1.44269504f;
    t = blend(t > 126.0f, constant(126.0f), t);
    t = blend(t < -126.0f, constant(-126.0f), t);
    /* Adding and subtracting this number rounds to an integer. */
    const vec magic = constant(12582912.0f);
    const vec whole = (t + magic) - magic, f = t - whole;
    vec p = constant(1.5403530e-4f); /* Taylor series of 2^f, f from -0.5 to 0.5 */
    p = p * f + 1.3333558e-3f;
    p = p * f + 9.6181291e-3f;
    p = p * f + 5.5504109e-2f;
    p = p * f + 2.4022651e-1f;
    p = p * f + 6.9314718e-1f;
    p = p * f + 1.0f;
    const int_vec exponent = __builtin_convertvector(whole, int_vec);
    const vec power = (vec)((exponent + 127) << 23);
    return blend(x == x, p * power, x);
}

INLINE vec sigmoid_of(vec x) { return 1.0f / (1.0f + exp_of(-x)); }
INLINE vec tanh_of(vec x) { return 1.0f - 2.0f / (exp_of(2.0f * x) + 1.0f); }

/* The error function to about 2e-7: Abramowitz and Stegun, 7.1.26. */
INLINE vec erf_of(vec x) {
    const vec a = blend(x < 0.0f, -x, x), t = 1.0f / (1.0f + 0.3275911f * a);
    vec p = constant(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const vec y = 1.0f - p * t * exp_of(-a * a);
    return blend(x < 0.0f, -y, y);
}

/* The share of a normal distribution below x, and its density at x. */
INLINE vec normal_cdf(vec x) { return 0.5f * (1.0f + erf_of(x * 0.70710678f)); }
INLINE vec normal_pdf(vec x) { return 0.39894228f * exp_of(-0.5f * x * x); }

/* log(1 + e^x): the larger of x and 0, and log(1 + u) with u = e^-|x|, which is 2 atanh(s) with
   s = u / (2 + u). As s is at most 1/3, seven terms of the series in s^2 suffice. */
INLINE vec softplus_of(vec x) {
    const vec larger = blend(x > 0.0f, x, constant(0)), u = exp_of(x - 2.0f * larger);
    const vec s = u / (2.0f + u), square = s * s;
    vec p = constant(1.0f / 13);
    p = p * square + 1.0f / 11;
    p = p * square + 1.0f / 9;
    p = p * square + 1.0f / 7;
    p = p * square + 1.0f / 5;
    p = p * square + 1.0f / 3;
    p = p * square + 1.0f;
    return larger + 2.0f * s * p;
}

/* tanh(log(1 + e^x)), which is n / (n + 2) with n = (1 + e^x)^2 - 1; beyond 20, it is 1. */
INLINE vec mish_gate(vec x) {
    const vec e = exp_of(x), n = e * (e + 2.0f);
    return blend(x > 20.0f, constant(1), n / (n + 2.0f));
}

INLINE vec sign_of(vec x) {
    return blend(x > 0.0f, constant(1), blend(x < 0.0f, constant(-1), constant(0)));
}

INLINE vec clamped(vec x, float low, float high) {
    x = blend(x < low, constant(low), x);
    return blend(x > high, constant(high), x);
}
