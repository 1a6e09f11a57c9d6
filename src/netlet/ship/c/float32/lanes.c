#if FAST
/* n sums at once, and the products of n numbers and weights. */
#define SUMS(n)                                                                                                        \
    typedef float sums_##n __attribute__((vector_size(4 * n), aligned(4), may_alias));                                 \
    INLINE sums_##n products_of_##n(const float *x, const float *w)                                                    \
    {                                                                                                                  \
        return *(const sums_##n *)(const void *)x * *(const sums_##n *)(const void *)w;                                \
    }
#if LANES >= 16
SUMS(16)
#endif
#if LANES >= 8
SUMS(8)
#endif
SUMS(4)
#endif
