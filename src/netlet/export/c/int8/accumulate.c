/* Add the products of windows and weights to the sums of `columns` columns and `lanes` channels.
   x: `depth` inputs per column, `stride` elements apart. w: `depth` rows of `width` channels, four rows interleaved. */
#if SIMD
INLINE void accumulate_each(int32_t *sums, const operand *x, int stride, const int8_t *w, int width, int depth,
                            int lanes, int columns)
{
    for (int k = 0; k < depth; k++)
        for (int t = 0; t < columns; t++)
            for (int o = 0; o < lanes; o++)
                sums[t * LANES + o] += (int32_t)x[t * stride + k] * w[(k - k % PACK) * width + o * PACK + k % PACK];
}

#define ACCUMULATE(n)                                                                                                  \
    INLINE void accumulate_##n(int32_t *sums, const operand *x, int stride, const int8_t *w, int width, int depth,     \
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
typedef int32_t four_bytes __attribute__((aligned(1), may_alias));
#if VNNI
#define MULTIPLY_AND_ADD(n)                                                                                            \
    for (int t = 0; t < columns; t++) {                                                                                \
        const sums_##n input = (sums_##n){0} + *(const four_bytes *)(const void *)(x + t * stride + k);                \
        totals[t] = __builtin_ia32_vpdpbusd_v##n##si(totals[t], input, rows);                                          \
    }
#elif PAIRS
/* A lane holds the weights a b c d of a channel, as bytes. They are extended to the pairs a b and c d: first to a c and
   b d, from which the pairs are put together unless the processor can bring the bytes in the order a c b d before. */
typedef int32_t exact_4 __attribute__((vector_size(16)));
typedef int16_t pairs_4 __attribute__((vector_size(16)));
#define ADD_PAIRS_4(x, w) (exact_4) __builtin_ia32_pmaddwd128(x, w)
#if LANES >= 8
typedef int32_t exact_8 __attribute__((vector_size(32)));
typedef int16_t pairs_8 __attribute__((vector_size(32)));
#define ADD_PAIRS_8(x, w) (exact_8) __builtin_ia32_pmaddwd256(x, w)
#endif
#if defined(__SSSE3__)
typedef char bytes_of_4 __attribute__((vector_size(16)));
#define ORDER 0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15
#define REORDER_4(rows) __builtin_ia32_pshufb128((bytes_of_4)rows, (bytes_of_4){ORDER})
#if LANES >= 8
typedef char bytes_of_8 __attribute__((vector_size(32)));
#define REORDER_8(rows) __builtin_ia32_pshufb256((bytes_of_8)rows, (bytes_of_8){ORDER, ORDER})
#endif
#define EXTEND_PAIRS(n)                                                                                                \
    const pairs_##n both = (pairs_##n)REORDER_##n(rows);                                                               \
    const pairs_##n ab = (both << 8) >> 8, cd = both >> 8;
#else
#define EXTEND_PAIRS(n)                                                                                                \
    typedef uint32_t bits __attribute__((vector_size(4 * n)));                                                         \
    const bits ac = (bits)(((pairs_##n)rows << 8) >> 8), bd = (bits)((pairs_##n)rows >> 8);                            \
    const pairs_##n ab = (pairs_##n)((ac & 65535U) | (bd << 16)), cd = (pairs_##n)((ac >> 16) | (bd & 4294901760U));
#endif
#define MULTIPLY_AND_ADD(n)                                                                                            \
    EXTEND_PAIRS(n)                                                                                                    \
    for (int t = 0; t < columns; t++) {                                                                                \
        const four_bytes *input = (const four_bytes *)(const void *)(x + t * stride + k);                              \
        const exact_##n first = (exact_##n){0} + input[0], second = (exact_##n){0} + input[1];                         \
        totals[t] += (sums_##n)(ADD_PAIRS_##n((pairs_##n)first, ab) + ADD_PAIRS_##n((pairs_##n)second, cd));           \
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

#else
#if DSP
/* Four inputs or weights as 16-bit numbers: the first and the third, and the second and the fourth. */
struct four {
    uint32_t even, odd;
};
typedef uint32_t four_bytes __attribute__((aligned(1), may_alias));
INLINE struct four read_inputs(const uint8_t *x)
{
    const uint32_t bytes = *(const four_bytes *)(const void *)x;
    return (struct four){bytes & 0x00FF00FFU, (bytes >> 8) & 0x00FF00FFU};
}
INLINE struct four read_weights(const int8_t *w)
{
    const uint32_t bytes = *(const four_bytes *)(const void *)w;
    struct four extended;
    __asm__("sxtb16 %0, %1" : "=r"(extended.even) : "r"(bytes));
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(extended.odd) : "r"(bytes));
    return extended;
}
INLINE int32_t add_products(int32_t total, struct four x, struct four w)
{
    __asm__("smlad %0, %1, %2, %0" : "+r"(total) : "r"(x.even), "r"(w.even));
    __asm__("smlad %0, %1, %2, %0" : "+r"(total) : "r"(x.odd), "r"(w.odd));
    return total;
}
typedef struct four inputs;
typedef struct four weights;
#else
typedef const uint8_t *inputs;
typedef const int8_t *weights;
#define read_inputs(x) (x)
#define read_weights(w) (w)
INLINE int32_t add_products(int32_t total, const uint8_t *x, const int8_t *w)
{
    return total + x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
}
#endif
/* One or two channels of one or two columns, which share what they read. */
INLINE void accumulate_each(int32_t *sums, const uint8_t *x, int stride, const int8_t *w, int width, int depth,
                            int lanes, int columns)
{
    int32_t a = sums[0], b = 0, c = 0, d = 0;
    if (lanes > 1)
        b = sums[1];
    if (columns > 1)
        c = sums[LANES];
    if (lanes > 1 && columns > 1)
        d = sums[LANES + 1];
    for (const uint8_t *end = x + depth; x < end; x += PACK, w += PACK * width) {
        const inputs first = read_inputs(x);
        const weights row = read_weights(w);
        a = add_products(a, first, row);
        if (columns > 1)
            c = add_products(c, read_inputs(x + stride), row);
        if (lanes > 1) {
            const weights other = read_weights(w + PACK);
            b = add_products(b, first, other);
            if (columns > 1)
                d = add_products(d, read_inputs(x + stride), other);
        }
    }
    sums[0] = a;
    if (lanes > 1)
        sums[1] = b;
    if (columns > 1)
        sums[LANES] = c;
    if (lanes > 1 && columns > 1)
        sums[LANES + 1] = d;
}
#endif
