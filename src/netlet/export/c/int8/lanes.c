#if SIMD
/* A vector of n sums. */
#define SUMS(n) typedef int32_t sums_##n __attribute__((vector_size(4 * n), aligned(4), may_alias));
#if LANES >= 16
SUMS(16)
#endif
#if LANES >= 8
SUMS(8)
#endif
SUMS(4)
#endif
