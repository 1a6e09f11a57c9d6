/* product / 2^shift, to the nearest integer, halves upwards; |product| < 2^62. Made positive first: what C does to the
   sign bit of a number that is shifted is left to the compiler. */
INLINE int64_t shifted(int64_t product, int shift)
{
    const uint64_t lift = (uint64_t)1 << 62;
    return (int64_t)(((uint64_t)product + lift + ((uint64_t)1 << (shift - 1))) >> shift) - (int64_t)(lift >> shift);
}
