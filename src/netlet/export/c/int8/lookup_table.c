/* An element-wise function of a byte has 256 results. */
INLINE void lookup_table(const uint8_t *table, const uint8_t *from, uint8_t *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = table[from[i]];
}
