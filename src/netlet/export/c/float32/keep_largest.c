/* Replace the elements of `to` that are smaller than those of `from`, or all of them before the window is started. */
INLINE void keep_largest(const float *from, float *to, int n, int started)
{
    for (int i = 0; i < n; i++)
        to[i] = started && to[i] > from[i] ? to[i] : from[i];
}
