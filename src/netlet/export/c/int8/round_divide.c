/* product / parts, rounded to the nearest integer, halves up; the quotient lies well within +-2^16. */
INLINE int64_t round_divide(int64_t product, int64_t parts)
{
    return (product + parts / 2 + parts * 65536) / parts - 65536;
}
