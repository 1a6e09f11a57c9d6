/* Replace the elements of `to` that are smaller than those of `from`, or all of them before the window is started.
   Vectors may overlap: the largest of the same numbers stays the same. */
#if SIMD
#define KEEP_LARGEST(n)                                                                                                \
    INLINE void keep_largest_##n(const uint8_t *from, uint8_t *to, int started)                                        \
    {                                                                                                                  \
        typedef uint8_t bytes __attribute__((vector_size(n), aligned(1), may_alias));                                  \
        const bytes x = *(const bytes *)(const void *)from;                                                            \
        if (started) {                                                                                                 \
            const bytes kept = *(const bytes *)(const void *)to, larger = (bytes)(kept > x);                           \
            *(bytes *)(void *)to = (kept & larger) | (x & ~larger);                                                    \
        } else                                                                                                         \
            *(bytes *)(void *)to = x;                                                                                  \
    }
KEEP_LARGEST(16)
KEEP_LARGEST(8)
#endif
INLINE void keep_largest(const uint8_t *from, uint8_t *to, int n, int started)
{
    int i = 0;
#if SIMD
    if (n >= 8) {
        for (; i + 16 <= n; i += 16)
            keep_largest_16(from + i, to + i, started);
        if (i + 8 < n && n >= 16)
            keep_largest_16(from + n - 16, to + n - 16, started);
        else {
            if (i + 8 <= n)
                keep_largest_8(from + i, to + i, started);
            if (i < n)
                keep_largest_8(from + n - 8, to + n - 8, started);
        }
        return;
    }
#endif
    for (; i < n; i++)
        to[i] = started && to[i] > from[i] ? to[i] : from[i];
}
