/* Rescale the sums of some channels of a pixel to bytes or, with int32_output, to logits. */
INLINE void store_outputs_each(const struct layer *layer, const int32_t *multipliers, const int32_t *sums, uint8_t *to,
                               int lanes)
{
    for (int o = 0; o < lanes; o++) {
        int32_t x = sums[o] < 0 ? 0 : sums[o] >> layer->shift;
        x = (x > 32767 ? 32767 : x) * multipliers[o] >> 16;
        to[o] = saturate(x, layer->low, layer->high);
    }
}

#if PAIRS || VNNI
/* The same for eight channels: vectors of 16-bit numbers saturate as above, and bytes from 0 to 255. */
typedef int32_t four_sums __attribute__((vector_size(16), aligned(4), may_alias));
typedef int16_t eight_words __attribute__((vector_size(16)));
typedef uint8_t sixteen_bytes __attribute__((vector_size(16), aligned(1), may_alias));
INLINE eight_words scale_sums(const struct layer *layer, const int32_t *multipliers, const int32_t *sums, int lanes)
{
    const four_sums *total = (const four_sums *)(const void *)sums;
    const four_sums *factor = (const four_sums *)(const void *)multipliers;
    const int second = lanes > 4;
    const eight_words x = __builtin_ia32_packssdw128(total[0] >> layer->shift, total[second] >> layer->shift);
    eight_words found = __builtin_ia32_pmulhw128(x, __builtin_ia32_packssdw128(factor[0], factor[second]));
    if (layer->high < 255) {
        const eight_words larger = found > (int16_t)layer->high;
        found = (found & ~larger) | ((int16_t)layer->high & larger);
    }
    if (layer->low > 0) {
        const eight_words smaller = found < (int16_t)layer->low;
        found = (found & ~smaller) | ((int16_t)layer->low & smaller);
    }
    return found;
}
#endif

INLINE void store_outputs(const struct layer *layer, const int32_t *channels, const int32_t *sums, uint8_t *to,
                          int first, int lanes)
{
    const int32_t *multipliers = channels + layer->out_channels + first;
    if (layer->int32_output) {
        for (int o = 0; o < lanes; o++)
            ((int32_t *)(void *)to)[first + o] = (int32_t)round_shift((int64_t)sums[o] * multipliers[o], layer->shift);
        return;
    }
#if PAIRS || VNNI
    if (lanes >= 4) {
        typedef int32_t four_bytes __attribute__((aligned(1), may_alias));
        typedef int64_t eight_bytes __attribute__((aligned(1), may_alias));
        typedef int32_t as_int32 __attribute__((vector_size(16)));
        typedef int64_t as_int64 __attribute__((vector_size(16)));
        const eight_words low = scale_sums(layer, multipliers, sums, lanes);
        const eight_words high = lanes > 8 ? scale_sums(layer, multipliers + 8, sums + 8, lanes) : low;
        const sixteen_bytes bytes = (sixteen_bytes)__builtin_ia32_packuswb128(low, high);
        if (lanes > 8)
            *(sixteen_bytes *)(void *)(to + first) = bytes;
        else if (lanes > 4)
            *(eight_bytes *)(void *)(to + first) = ((as_int64)bytes)[0];
        else
            *(four_bytes *)(void *)(to + first) = ((as_int32)bytes)[0];
        return;
    }
#endif
    store_outputs_each(layer, multipliers, sums, to + first, lanes);
}
