#if FAST
/* The products of n numbers and weights: each fits 16 bits, and widths are best doubled twice. */
#define PRODUCTS(n)                                                                                                    \
    typedef int16_t products_##n __attribute__((vector_size(2 * n)));                                                  \
    typedef uint8_t numbers_##n __attribute__((vector_size(n), aligned(1), may_alias));                                \
    typedef int8_t bytes_##n __attribute__((vector_size(n), aligned(1), may_alias));                                   \
    INLINE sums_##n products_of_##n(const uint8_t *x, const int8_t *w)                                                 \
    {                                                                                                                  \
        const products_##n numbers = __builtin_convertvector(*(const numbers_##n *)(const void *)x, products_##n);     \
        const products_##n weights = __builtin_convertvector(*(const bytes_##n *)(const void *)w, products_##n);       \
        return __builtin_convertvector(numbers * weights, sums_##n);                                                   \
    }
#if LANES >= 16
PRODUCTS(16)
#endif
#if LANES >= 8
PRODUCTS(8)
#endif
PRODUCTS(4)
#endif
