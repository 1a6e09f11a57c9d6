#if SIMD
/* The products of n inputs and weights. Each fits 16 bits, and widening twice by 2 is faster than once by 4. */
#define PRODUCTS(n)                                                                                                    \
    typedef int16_t products_##n __attribute__((vector_size(2 * n)));                                                  \
    typedef uint8_t bytes_u##n __attribute__((vector_size(n), aligned(1), may_alias));                                 \
    typedef int8_t bytes_s##n __attribute__((vector_size(n), aligned(1), may_alias));                                  \
    INLINE sums_##n products_of_##n(const uint8_t *x, const int8_t *w)                                                 \
    {                                                                                                                  \
        const products_##n inputs = __builtin_convertvector(*(const bytes_u##n *)(const void *)x, products_##n);       \
        const products_##n weights = __builtin_convertvector(*(const bytes_s##n *)(const void *)w, products_##n);      \
        return __builtin_convertvector(inputs * weights, sums_##n);                                                    \
    }
#if LANES >= 16
PRODUCTS(16)
#endif
#if LANES >= 8
PRODUCTS(8)
#endif
PRODUCTS(4)
#endif
