/* A last map that is not wide already. */
INLINE void widen(const uint8_t *from, int32_t *to, int n, int zero)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i] - zero;
}
