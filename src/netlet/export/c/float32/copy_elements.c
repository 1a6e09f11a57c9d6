INLINE void copy_elements(float *to, const float *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i];
}
