INLINE void accumulate(sum *sums, const operand *x, int stride, const weight *w, int width, int depth, int lanes,
                       int columns)
{
#if LANES >= 16
    if (lanes == 16) {
        accumulate_16(sums, x, stride, w, width, depth, columns);
        return;
    }
#endif
#if LANES >= 8
    if (lanes == 8) {
        accumulate_8(sums, x, stride, w, width, depth, columns);
        return;
    }
#endif
#if LANES >= 4
    if (lanes == 4) {
        accumulate_4(sums, x, stride, w, width, depth, columns);
        return;
    }
#endif
    accumulate_each(sums, x, stride, w, width, depth, lanes, columns);
}
