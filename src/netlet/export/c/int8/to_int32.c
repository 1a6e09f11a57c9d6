/* Convert the logits of a last layer without int32_output. */
INLINE void to_int32(const uint8_t *from, int32_t *to, int n, int zero)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i] - zero;
}
