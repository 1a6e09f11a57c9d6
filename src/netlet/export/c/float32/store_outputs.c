INLINE void store_outputs(const struct layer *layer, const float *channels, const float *sums, float *to, int first,
                          int lanes)
{
    (void)channels;
    for (int o = 0; o < lanes; o++)
        to[first + o] = clamp_value(sums[o], layer->low, layer->high);
}
