/* Where the elements of an axis come from: numbers in a table or, without one, start, start + step and so on. */
struct axis {
    int32_t count, start, step;
    const int32_t *table;
};

INLINE int32_t place_on(const struct axis *axis, int i)
{
    return axis->table ? axis->table[i] : axis->start + i * axis->step;
}

/* Copy elements to other places. Where one comes from is the sum of numbers for its row, its column and its channel;
   if one of them is -1, it is a constant. */
INLINE void rearrange(const struct axis *rows, const struct axis *columns, const struct axis *channels,
                      const element *from, element *to, element fill)
{
    for (int y = 0; y < rows->count; y++)
        for (int x = 0; x < columns->count; x++) {
            const int32_t row = place_on(rows, y), column = place_on(columns, x);
            for (int c = 0; c < channels->count; c++) {
                const int32_t channel = place_on(channels, c);
                *to++ = row < 0 || column < 0 || channel < 0 ? fill : from[row + column + channel];
            }
        }
}
