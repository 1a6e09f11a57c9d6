/* Add the products of windows and weights to the sums of `columns` columns and `lanes` channels.
   x: `depth` inputs per column, `stride` elements apart. w: `depth` rows of `width` channels, four rows interleaved. */
INLINE void accumulate_each(int32_t *sums, const uint8_t *x, int stride, const int8_t *w, int width, int depth,
                            int lanes, int columns)
{
    for (int k = 0; k < depth; k++)
        for (int t = 0; t < columns; t++)
            for (int o = 0; o < lanes; o++)
                sums[t * LANES + o] += (int32_t)x[t * stride + k] * w[(k - k % PACK) * width + o * PACK + k % PACK];
}

#if FAST
#define ACCUMULATE(n)                                                                                                  \
    INLINE void accumulate_##n(int32_t *sums, const uint8_t *x, int stride, const int8_t *w, int width, int depth,     \
                               int columns)                                                                            \
    {                                                                                                                  \
        sums_##n totals[MAX_COLUMNS];                                                                                  \
        for (int t = 0; t < columns; t++)                                                                              \
            totals[t] = *(const sums_##n *)(const void *)(sums + t * LANES);                                           \
        for (int k = 0; k < depth; k += PACK) {                                                                        \
            const sums_##n rows = *(const sums_##n *)(const void *)(w + k * width);                                    \
            MULTIPLY_AND_ADD(n)                                                                                        \
        }                                                                                                              \
        for (int t = 0; t < columns; t++)                                                                              \
            *(sums_##n *)(void *)(sums + t * LANES) = totals[t];                                                       \
    }
#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && !defined(__clang__)
/* These processors have an instruction that multiplies and adds four rows. */
typedef int32_t four_bytes __attribute__((aligned(1), may_alias));
#define MULTIPLY_AND_ADD(n)                                                                                            \
    for (int t = 0; t < columns; t++) {                                                                                \
        const sums_##n input = (sums_##n){0} + *(const four_bytes *)(const void *)(x + t * stride + k);                \
        totals[t] = __builtin_ia32_vpdpbusd_v##n##si(totals[t], input, rows);                                          \
    }
#else
/* A lane holds four weights of a channel. Shifting one to the top and down again extends its sign. */
#define MULTIPLY_AND_ADD(n)                                                                                            \
    typedef uint32_t bits __attribute__((vector_size(4 * n)));                                                         \
    for (int j = 0; j < PACK; j++) {                                                                                   \
        const sums_##n row = (sums_##n)((bits)rows << (24 - 8 * j)) >> 24;                                             \
        for (int t = 0; t < columns; t++)                                                                              \
            totals[t] += row * (int32_t)x[t * stride + k + j];                                                         \
    }
#endif
#if LANES >= 16
ACCUMULATE(16)
#endif
#if LANES >= 8
ACCUMULATE(8)
#endif
ACCUMULATE(4)
#endif
