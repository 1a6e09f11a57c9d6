#if SIMD
/* n bytes extended to 16-bit numbers, the high halves of the products of such numbers, and the numbers as bytes. */
typedef uint16_t words_8 __attribute__((vector_size(16), aligned(2), may_alias));
INLINE words_8 extend_8(const uint8_t *x)
{
#if defined(__SSE2__) && !defined(__clang__)
    typedef char bytes __attribute__((vector_size(16)));
    typedef int64_t two __attribute__((vector_size(16)));
    typedef int64_t eight_bytes __attribute__((aligned(1), may_alias));
    const two low = {*(const eight_bytes *)(const void *)x, 0};
    return (words_8)__builtin_ia32_punpcklbw128((bytes)low, (bytes){0});
#else
    typedef uint8_t bytes __attribute__((vector_size(8), aligned(1), may_alias));
    return __builtin_convertvector(*(const bytes *)(const void *)x, words_8);
#endif
}

INLINE words_8 multiply_high_8(words_8 x, words_8 y)
{
#if defined(__SSE2__)
    typedef int16_t signed_words __attribute__((vector_size(16)));
    return (words_8)__builtin_ia32_pmulhuw128((signed_words)x, (signed_words)y);
#else
    typedef uint32_t products __attribute__((vector_size(32)));
    return __builtin_convertvector(
        (__builtin_convertvector(x, products) * __builtin_convertvector(y, products)) >> 16, words_8);
#endif
}

/* Signed numbers, saturated to 0 to 255 or, where there are closer bounds, to these. */
INLINE words_8 saturate_8(words_8 x, int low, int high)
{
    typedef int16_t signed_words __attribute__((vector_size(16)));
    signed_words found = (signed_words)x;
#if defined(__SSE2__)
    if (low == 0 && high == 255) /* as packing does */
        return x;
#endif
    const signed_words larger = found > (int16_t)high, smaller = found < (int16_t)low;
    found = (found & ~larger & ~smaller) | ((int16_t)high & larger) | ((int16_t)low & smaller);
    return (words_8)found;
}

INLINE void store_8(words_8 x, int low, int high, uint8_t *to)
{
    x = saturate_8(x, low, high);
#if defined(__SSE2__)
    typedef int16_t signed_words __attribute__((vector_size(16)));
    typedef int64_t two __attribute__((vector_size(16)));
    typedef int64_t eight_bytes __attribute__((aligned(1), may_alias));
    *(eight_bytes *)(void *)to = ((two)__builtin_ia32_packuswb128((signed_words)x, (signed_words)x))[0];
#else
    typedef uint8_t bytes __attribute__((vector_size(8), aligned(1), may_alias));
    *(bytes *)(void *)to = __builtin_convertvector(x, bytes);
#endif
}

#if defined(__AVX2__)
typedef uint16_t words_16 __attribute__((vector_size(32), aligned(2), may_alias));
INLINE words_16 extend_16(const uint8_t *x)
{
#if defined(__clang__)
    typedef uint8_t bytes __attribute__((vector_size(16), aligned(1), may_alias));
    return __builtin_convertvector(*(const bytes *)(const void *)x, words_16);
#else /* GCC would extend the halves and put them together */
    typedef char bytes __attribute__((vector_size(16), aligned(1), may_alias));
    return (words_16)__builtin_ia32_pmovzxbw256(*(const bytes *)(const void *)x);
#endif
}

INLINE words_16 multiply_high_16(words_16 x, words_16 y)
{
    typedef int16_t signed_words __attribute__((vector_size(32)));
    return (words_16)__builtin_ia32_pmulhuw256((signed_words)x, (signed_words)y);
}

INLINE void store_16(words_16 x, int low, int high, uint8_t *to)
{
    typedef int16_t signed_words __attribute__((vector_size(16)));
    typedef uint8_t bytes __attribute__((vector_size(16), aligned(1), may_alias));
    const union {
        words_16 all;
        words_8 halves[2];
    } parts = {x};
    const signed_words first = (signed_words)saturate_8(parts.halves[0], low, high);
    const signed_words second = (signed_words)saturate_8(parts.halves[1], low, high);
    *(bytes *)(void *)to = (bytes)__builtin_ia32_packuswb128(first, second);
}
#endif
#endif
