INLINE void finish(const struct layer *layer, const int32_t *channels, const int32_t *sums, uint8_t *to, int first,
                   int lanes)
{
    const int32_t *multipliers = channels + layer->out_channels + first;
    for (int o = 0; o < lanes; o++) {
        int64_t x = shifted((int64_t)sums[o] * multipliers[o], layer->shift);
        if (layer->wide)
            ((int32_t *)(void *)to)[first + o] = (int32_t)x;
        else
            to[first + o] = clamped(x + layer->zero, layer->low, layer->high);
    }
}
