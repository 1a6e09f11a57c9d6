INLINE void store_outputs(const struct layer *layer, const int32_t *channels, const int32_t *sums, uint8_t *to,
                          int first, int lanes)
{
    const int32_t *multipliers = channels + layer->out_channels + first;
    for (int o = 0; o < lanes; o++) {
        int64_t x = round_shift((int64_t)sums[o] * multipliers[o], layer->shift);
        if (layer->int32_output)
            ((int32_t *)(void *)to)[first + o] = (int32_t)x;
        else
            to[first + o] = clamp_value(x + layer->zero_point, layer->low, layer->high);
    }
}
