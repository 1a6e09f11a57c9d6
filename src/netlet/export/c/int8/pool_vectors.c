#if SIMD
typedef uint8_t largest_16 __attribute__((vector_size(16), aligned(1), may_alias));
INLINE largest_16 larger_of(largest_16 a, largest_16 b)
{
#if defined(__SSE2__) && !defined(__clang__)
    typedef char bytes __attribute__((vector_size(16)));
    return (largest_16)__builtin_ia32_pmaxub128((bytes)a, (bytes)b);
#else
    typedef int8_t bytes __attribute__((vector_size(16)));
    const largest_16 greater = (largest_16)((bytes)(a ^ 128) > (bytes)(b ^ 128));
    return (a & greater) | (b & ~greater);
#endif
}

INLINE largest_16 read_elements(const uint8_t *x, int lanes)
{
    typedef int64_t two __attribute__((vector_size(16)));
    typedef int64_t eight_bytes __attribute__((aligned(1), may_alias));
    const two low = {*(const eight_bytes *)(const void *)x, 0};
    return lanes == 16 ? *(const largest_16 *)(const void *)x : (largest_16)low;
}

/* The maximum of a window, of 8 or 16 channels. */
INLINE void pool_lanes(const struct layer *layer, const uint8_t *from, uint8_t *to, int y, int x, int lanes)
{
    typedef int64_t two __attribute__((vector_size(16)));
    typedef int64_t eight_bytes __attribute__((aligned(1), may_alias));
    largest_16 largest = {0};
    for (int ky = 0; ky < layer->window_height; ky++)
        for (int kx = 0; kx < layer->window_width; kx++) {
            const int row = y * layer->stride_y - layer->top + ky, column = x * layer->stride_x - layer->left + kx;
            if (layer->padded && (row < 0 || row >= layer->height || column < 0 || column >= layer->width))
                continue;
            largest = larger_of(largest, read_elements(from + (row * layer->width + column) * layer->channels, lanes));
        }
    if (lanes == 16)
        *(largest_16 *)(void *)to = largest;
    else
        *(eight_bytes *)(void *)to = ((two)largest)[0];
}

/* Pool the channels that fill vectors, which may overlap, and return the first of the others. */
INLINE int pool_vectors(const struct layer *layer, const uint8_t *from, uint8_t *to, int y, int x)
{
    const int n = layer->channels;
    int c = 0;
    if (n < 8)
        return 0;
    for (; c + 16 <= n; c += 16)
        pool_lanes(layer, from + c, to + c, y, x, 16);
    if (c + 8 < n && n >= 16)
        pool_lanes(layer, from + n - 16, to + n - 16, y, x, 16);
    else {
        if (c + 8 <= n)
            pool_lanes(layer, from + c, to + c, y, x, 8);
        if (c + 8 != n && c < n)
            pool_lanes(layer, from + n - 8, to + n - 8, y, x, 8);
    }
    return n;
}
#else
#define pool_vectors(layer, from, to, y, x) 0
#endif
