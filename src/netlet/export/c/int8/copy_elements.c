INLINE void copy_elements(operand *to, const uint8_t *from, int n)
{
    int i = 0;
#if PAIRS
    /* Extended to 16 bits, 8 at once. The last 8 may overlap others. */
    typedef operand eight __attribute__((vector_size(16), aligned(2), may_alias));
    if (n >= 8) {
        for (; i + 8 <= n; i += 8)
            *(eight *)(void *)(to + i) = (eight)extend_8(from + i);
        if (i < n)
            *(eight *)(void *)(to + n - 8) = (eight)extend_8(from + n - 8);
        return;
    }
#endif
    for (; i < n; i++)
        to[i] = from[i];
}
