/* product / parts to the nearest integer, halves upwards; the quotient lies well within 2^16 either way. */
INLINE int64_t divided(int64_t product, int64_t parts)
{
    return (product + parts / 2 + parts * 65536) / parts - 65536;
}
