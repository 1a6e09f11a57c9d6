/* product / 2^shift, rounded to the nearest integer, halves up; |product| < 2^62. Made positive first, since C leaves
   the right shift of a negative number to the compiler. */
INLINE int64_t round_shift(int64_t product, int shift)
{
    const uint64_t offset = (uint64_t)1 << 62;
    return (int64_t)(((uint64_t)product + offset + ((uint64_t)1 << (shift - 1))) >> shift) - (int64_t)(offset >> shift);
}
