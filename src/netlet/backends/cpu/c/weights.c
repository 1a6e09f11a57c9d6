/* Weights from PyTorch's layout to ours, and their gradients back. */

/* PyTorch keeps the weights of an output channel side by side: out inputs places. A place is one of
 * the window's, or a pixel of the map that a linear layer reads flattened as C H W. */
INLINE int weight_inputs(Stage s) {
    if (s.depthwise) return 1;
    return s.linear ? s.map_channels : s.in / s.groups;
}

INLINE int weight_places(Stage s) {
    return s.linear ? s.in / round_up(s.map_channels, LANES) : s.taps_h * s.taps_w;
}

/* The input channel that output channel o reads as its input i; a linear layer's map is stored as
 * H W C. */
INLINE int input_channel(Stage s, int o, int i, int place) {
    if (s.linear) return place * round_up(s.map_channels, LANES) + i;
    if (s.groups == 1) return i;
    return o / (s.out / s.groups) * (s.in / s.groups) + i;
}

/* Where a weight lies in the layout of the forward pass, counted in rows of lanes. Dilation spreads
 * the window. */
INLINE int weight_row(Stage s, int o, int i, int place) {
    if (s.linear) return input_channel(s, o, i, place);
    const int r = place / s.taps_w * s.dilation_h, c = place % s.taps_w * s.dilation_w;
    if (s.depthwise) return r * s.kernel_w + c;
    return r * kernel_row(s) + c * pitch(s) + input_channel(s, o, i, place);
}

/* Our layouts keep the weights of neighboring channels side by side. So weights go through tiles of
 * LANES output channels that stay in the cache. */
#define TILE_INPUTS 16
#define TILE_PLACES 16
typedef struct {
    int o, i, place;              /* first of the tile */
    int channels, inputs, places; /* how many */
} WeightTile;

INLINE WeightTile weight_tile(Stage s, int o, int out_to, int i, int place) {
    return (WeightTile){o,
                        i,
                        place,
                        smaller(LANES, out_to - o),
                        smaller(TILE_INPUTS, weight_inputs(s) - i),
                        smaller(TILE_PLACES, weight_places(s) - place)};
}

/* The weights of channel o and input i of a tile. */
INLINE size_t weights_of(Stage s, WeightTile t, int o, int i) {
    const int kernel = s.kernels < s.out ? (t.o + o) % s.kernels : t.o + o;
    return ((size_t)kernel * weight_inputs(s) + t.i + i) * weight_places(s) + t.place;
}

INLINE void pack_for_forward(Stage s, elem value, int o, int i, int place, elem *forward) {
    const int j = weight_row(s, o, i, place);
    if (s.depthwise) forward[j * lanes(s) + o] = value;
    else forward[((size_t)(j / PAIR) * lanes(s) + o) * PAIR + j % PAIR] = value;
}

/* The input's gradient reads the window mirrored. */
INLINE void pack_for_backward(Stage s, elem value, int o, int i, int place, elem *backward) {
    if (s.depthwise) {
        backward[(s.kernel_h * s.kernel_w - 1 - weight_row(s, o, i, place)) * lanes(s) + o] = value;
        return;
    }
    const int r = s.linear ? 0 : s.kernel_h - 1 - place / s.taps_w * s.dilation_h,
              c = s.linear ? 0 : s.kernel_w - 1 - place % s.taps_w * s.dilation_w;
    const size_t j = r * back_kernel_row(s) + c * back_pitch(s) + o;
    backward[(j / PAIR * back_lanes(s) + input_channel(s, o, i, place)) * PAIR + j % PAIR] = value;
}

/* `backward` is NULL if the input's gradient is not needed. */
INLINE void pack_tile(Stage s, WeightTile t, const float *weight, elem *forward, elem *backward) {
    elem tile[LANES][TILE_INPUTS][TILE_PLACES];
    for (int o = 0; o < t.channels; o++)
        for (int i = 0; i < t.inputs; i++) {
            const float *from = weight + weights_of(s, t, o, i);
            for (int p = 0; p < t.places; p++) tile[o][i][p] = to_elem(from[p]);
        }
    for (int p = 0; p < t.places; p++) {
        for (int i = 0; i < t.inputs; i++)
            for (int o = 0; o < t.channels; o++)
                pack_for_forward(s, tile[o][i][p], t.o + o, t.i + i, t.place + p, forward);
        /* In this order, since the channels' rows may lie a multiple of 4 KiB apart, of which a
         * cache holds only a few. */
        for (int o = 0; backward && o < t.channels; o++)
            for (int i = 0; i < t.inputs; i++)
                pack_for_backward(s, tile[o][i][p], t.o + o, t.i + i, t.place + p, backward);
    }
}

/* Copy PyTorch's weights of the channels out_from to out_to into our layouts. */
INLINE void pack_weights(Stage s, const float *weight, elem *forward, elem *backward, int out_from,
                         int out_to) {
    for (int o = out_from; o < out_to; o += LANES)
        for (int i = 0; i < weight_inputs(s); i += TILE_INPUTS)
            for (int p = 0; p < weight_places(s); p += TILE_PLACES)
                pack_tile(s, weight_tile(s, o, out_to, i, p), weight, forward, backward);
}

INLINE void reduce_tile(Stage s, WeightTile t, const Net *net, const Arena *arena, int k) {
    const Tensors tensors = net->op[k];
    float tile[LANES][TILE_INPUTS][TILE_PLACES];
    for (int p = 0; p < t.places; p++)
        for (int i = 0; i < t.inputs; i++) {
            vec sums = {0};
            for (int a = 0; a < net->threads; a++) {
                const float *from = arena->workspace[a][k].d_weight + t.o;
                if (s.groups == 1)
                    sums += load_f32(from +
                                     (size_t)weight_row(s, 0, t.i + i, t.place + p) * lanes(s));
                else
                    for (int o = 0; o < t.channels; o++)
                        sums[o] += from[(size_t)weight_row(s, t.o + o, t.i + i, t.place + p) *
                                            lanes(s) +
                                        o];
            }
            for (int o = 0; o < LANES; o++) tile[o][i][p] = sums[o];
        }
    for (int o = 0; o < t.channels; o++)
        for (int i = 0; i < t.inputs; i++) {
            float *to = tensors.d_weight + weights_of(s, t, o, i);
            for (int p = 0; p < t.places; p++)
                to[p] = tensors.add_weight ? to[p] + tile[o][i][p] : tile[o][i][p];
        }
}

/* Channels with the same kernel add up their gradients; the thread of the first one writes them. */
INLINE void reduce_shared_kernels(Stage s, const Net *net, const Arena *arena, int k, int out_from,
                                  int out_to) {
    const Tensors t = net->op[k];
    for (int kernel = out_from; kernel < smaller(out_to, s.kernels); kernel++)
        for (int p = 0; p < weight_places(s); p++) {
            float sum = 0;
            for (int a = 0; a < net->threads; a++)
                for (int o = kernel; o < s.out; o += s.kernels)
                    sum += arena->workspace[a][k]
                               .d_weight[(size_t)weight_row(s, o, 0, p) * lanes(s) + o];
            float *to = t.d_weight + (size_t)kernel * weight_places(s) + p;
            *to = t.add_weight ? *to + sum : sum;
        }
}

/* Add up the weights' gradients of all threads and write them where PyTorch reads them. */
INLINE void reduce_weights(Stage s, const Net *net, const Arena *arena, int k, int out_from,
                           int out_to) {
    if (s.kernels < s.out) {
        reduce_shared_kernels(s, net, arena, k, out_from, out_to);
        return;
    }
    for (int i = 0; i < weight_inputs(s); i += TILE_INPUTS)
        for (int p = 0; p < weight_places(s); p += TILE_PLACES)
            for (int o = out_from; o < out_to; o += LANES)
                reduce_tile(s, weight_tile(s, o, out_to, i, p), net, arena, k);
}

/* Add up the gradients of weights and biases of all threads, each thread its share of the channels.
 */
INLINE void reduce_gradients(Stage s, const Net *net, const Arena *arena, int k, int out_from,
                             int out_to) {
    reduce_weights(s, net, arena, k, out_from, out_to);
    if (!s.bias) return;
    const Tensors t = net->op[k];
    for (int o = out_from; o < out_to; o++) {
        float sum = t.add_bias ? t.d_bias[o] : 0;
        for (int a = 0; a < net->threads; a++) sum += arena->workspace[a][k].d_bias[o];
        t.d_bias[o] = sum;
    }
}
