/* Add the products of windows and weights to the sums of `columns` columns and `lanes` channels.
   x: `depth` inputs per column, `stride` elements apart. w: `depth` rows of `width` channels. */
INLINE void accumulate_each(float *sums, const float *x, int stride, const float *w, int width, int depth, int lanes,
                            int columns)
{
    for (int t = 0; t < columns; t++)
        for (int o = 0; o < lanes; o++) {
            const float *input = x + t * stride, *row = w + o;
            float total = sums[t * LANES + o];
            for (int k = 0; k < depth; k++, row += width)
                total += input[k] * *row;
            sums[t * LANES + o] = total;
        }
}

#if FAST
#define ACCUMULATE(n)                                                                                                  \
    INLINE void accumulate_##n(float *sums, const float *x, int stride, const float *w, int width, int depth,          \
                               int columns)                                                                            \
    {                                                                                                                  \
        sums_##n totals[MAX_COLUMNS];                                                                                  \
        for (int t = 0; t < columns; t++)                                                                              \
            totals[t] = *(const sums_##n *)(const void *)(sums + t * LANES);                                           \
        for (int k = 0; k < depth; k++) {                                                                              \
            const sums_##n row = *(const sums_##n *)(const void *)(w + k * width);                                     \
            for (int t = 0; t < columns; t++)                                                                          \
                totals[t] += row * x[t * stride + k];                                                                  \
        }                                                                                                              \
        for (int t = 0; t < columns; t++)                                                                              \
            *(sums_##n *)(void *)(sums + t * LANES) = totals[t];                                                       \
    }
#if LANES >= 16
ACCUMULATE(16)
#endif
#if LANES >= 8
ACCUMULATE(8)
#endif
ACCUMULATE(4)
#endif
