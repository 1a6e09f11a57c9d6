#if FAST
/* The products of n inputs and weights. */
#define PRODUCTS(n)                                                                                                    \
    INLINE sums_##n products_of_##n(const float *x, const float *w)                                                    \
    {                                                                                                                  \
        return *(const sums_##n *)(const void *)x * *(const sums_##n *)(const void *)w;                                \
    }
#if LANES >= 16
PRODUCTS(16)
#endif
#if LANES >= 8
PRODUCTS(8)
#endif
PRODUCTS(4)
#endif
