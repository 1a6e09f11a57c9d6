/* Operations on whole feature maps, one image at a time. Each keeps its output as v; its backward
 * pass writes the gradients of its inputs to dx, which `add_gradient` adds to theirs. */

typedef struct {
    int h, w, lanes, channels;
} Map;

#define FOR_MAP(m, ...)                                           \
    ROLLED for (int h = 0; h < m.h; h++)                          \
        ROLLED for (int w = 0; w < m.w; w++)                      \
            ROLLED for (int b = 0; b < m.lanes / LANES; b++) {    \
                const int at = (h * m.w + w) * m.lanes + b * LANES; \
                (void)at;                                         \
                __VA_ARGS__                                       \
            }

/* Write the gradient of one image to g, or add it to what other operations wrote there. */
INLINE void add_gradient(const float *dx, elem *g, int size, int add) {
    ROLLED for (int i = 0; i < size; i += LANES)
        store(g + i, add ? load(g + i) + load_f32(dx + i) : load_f32(dx + i));
}

/* The same for a gradient of the type of g. */
INLINE void add_stored_gradient(const elem *dx, elem *g, int size) {
    ROLLED for (int i = 0; i < size; i += LANES) store(g + i, load(g + i) + load(dx + i));
}

/* An image, c h w, as a feature map. */
INLINE void image_forward(Map m, const float *image, const float *scale, const float *shift,
                          elem *v) {
    for (int pixel = 0; pixel < m.h * m.w; pixel++)
        for (int c = 0; c < m.channels; c++)
            v[pixel * m.lanes + c] =
                to_elem(image[c * m.h * m.w + pixel] * scale[c] + shift[c]);
}

/* The sum of two maps; the second may be 1x1 and is then added everywhere. */
INLINE void sum_forward(Map m, Input one, Input other, int broadcast, elem *v) {
    FOR_MAP(m, store(v + at, input_at(one, h, w, b) +
                                 input_at(other, broadcast ? 0 : h, broadcast ? 0 : w, b));)
}

INLINE void sum_backward(Map m, const elem *g, int broadcast, float *dx, float *d_other) {
    if (broadcast) memset(d_other, 0, m.lanes * 4);
    FOR_MAP(m, {
        const vec grad = load(g + at);
        *(vec *)(dx + at) = grad;
        if (broadcast) *(vec *)(d_other + b * LANES) += grad;
        else *(vec *)(d_other + at) = grad;
    })
}

/* The product of two maps; the second may be 1x1. */
INLINE void product_forward(Map m, Input one, Input other, int broadcast, elem *v) {
    FOR_MAP(m, store(v + at, input_at(one, h, w, b) *
                                 input_at(other, broadcast ? 0 : h, broadcast ? 0 : w, b));)
}

INLINE void product_backward(Map m, Input one, Input other, const elem *g, int broadcast, float *dx,
                             float *d_other) {
    if (broadcast) memset(d_other, 0, m.lanes * 4);
    FOR_MAP(m, {
        const vec grad = load(g + at);
        *(vec *)(dx + at) = grad * input_at(other, broadcast ? 0 : h, broadcast ? 0 : w, b);
        if (broadcast) *(vec *)(d_other + b * LANES) += grad * input_at(one, h, w, b);
        else *(vec *)(d_other + at) = grad * input_at(one, h, w, b);
    })
}

/* Copy a map to the channels from `first` on of a larger one. Parts are copied in order, since the
 * last vector of one reaches into the next. */
INLINE void concatenate_forward(Map part, Input in, Map whole, int first, elem *v) {
    FOR_MAP(part, store_partial(v + (h * whole.w + w) * whole.lanes + first + b * LANES,
                                input_at(in, h, w, b), whole.lanes - first - b * LANES);)
}

INLINE void concatenate_backward(Map part, Map whole, int first, const elem *g, float *dx) {
    FOR_MAP(part, {
        vec grad = load(g + (h * whole.w + w) * whole.lanes + first + b * LANES);
        for (int i = 0; i < LANES; i++)
            if (b * LANES + i >= part.channels) grad[i] = 0;
        *(vec *)(dx + at) = grad;
    })
}

/* Channels from `first` on of a larger map. */
INLINE void channels_forward(Map part, Input whole, int first, elem *v) {
    ROLLED for (int h = 0; h < part.h; h++)
        ROLLED for (int w = 0; w < part.w; w++) {
            float all[whole.lanes + LANES];
            ROLLED for (int b = 0; b < whole.lanes / LANES; b++)
                *(vec *)(all + b * LANES) = input_at(whole, h, w, b);
            *(vec *)(all + whole.lanes) = (vec){0};
            ROLLED for (int b = 0; b < part.lanes / LANES; b++)
                store(v + (h * part.w + w) * part.lanes + b * LANES,
                      first + b * LANES <= whole.lanes ? load_f32(all + first + b * LANES)
                                                       : (vec){0});
        }
}

INLINE void channels_backward(Map part, int whole_lanes, int first, const elem *g, float *dx) {
    memset(dx, 0, (size_t)part.h * part.w * whole_lanes * 4);
    for (int pixel = 0; pixel < part.h * part.w; pixel++)
        for (int c = 0; c < part.channels; c++)
            dx[pixel * whole_lanes + first + c] = from_elem(g[pixel * part.lanes + c]);
}

/* A map times a scale plus a shift for each channel, which are constants. */
INLINE void affine_forward(Map m, Input in, const float *scale, const float *shift, elem *v) {
    FOR_MAP(m, store(v + at, input_at(in, h, w, b) * load_f32(scale + b * LANES) +
                                 load_f32(shift + b * LANES));)
}

INLINE void affine_backward(Map m, const elem *g, const float *scale, float *dx) {
    FOR_MAP(m, *(vec *)(dx + at) = load(g + at) * load_f32(scale + b * LANES);)
}

/* Zeros around a map, or fewer rows and columns where a size is negative. */
INLINE void pad_forward(Map in_map, Map m, Input in, int top, int left, elem *v) {
    FOR_MAP(m, {
        const int y = h - top, x = w - left, inside = y >= 0 && y < in_map.h && x >= 0 && x < in_map.w;
        store(v + at, inside ? input_at(in, y, x, b) : (vec){0});
    })
}

INLINE void pad_backward(Map in_map, Map m, const elem *g, int top, int left, float *dx) {
    FOR_MAP(in_map, {
        const int y = h + top, x = w + left, inside = y >= 0 && y < m.h && x >= 0 && x < m.w;
        *(vec *)(dx + at) = inside ? load(g + (y * m.w + x) * m.lanes + b * LANES) : (vec){0};
    })
}

/* Rows and columns of a map, each any number of times. */
INLINE void take_forward(Map m, Input in, const int *rows, const int *columns, elem *v) {
    FOR_MAP(m, store(v + at, input_at(in, rows[h], columns[w], b));)
}

INLINE void take_backward(Map in_map, Map m, const elem *g, const int *rows, const int *columns,
                          float *dx) {
    memset(dx, 0, (size_t)in_map.h * in_map.w * in_map.lanes * 4);
    FOR_MAP(m, *(vec *)(dx + (rows[h] * in_map.w + columns[w]) * in_map.lanes + b * LANES) +=
                   load(g + at);)
}

/* Channel c of place p becomes channel p of row c. */
INLINE void transpose_forward(Map in_map, Map m, Input in, elem *v) {
    FOR_MAP(in_map, {
        const vec x = input_at(in, h, w, b);
        for (int i = 0; i < LANES; i++)
            if (b * LANES + i < in_map.channels)
                v[(b * LANES + i) * m.lanes + h * in_map.w + w] = to_elem(x[i]);
    })
}

INLINE void transpose_backward(Map in_map, Map m, const elem *g, float *dx) {
    FOR_MAP(in_map, {
        vec grad = {0};
        for (int i = 0; i < LANES; i++)
            if (b * LANES + i < in_map.channels)
                grad[i] = from_elem(g[(b * LANES + i) * m.lanes + h * in_map.w + w]);
        *(vec *)(dx + at) = grad;
    })
}

/* Dropout of elements, or of whole channels. In evaluation mode nothing is dropped. */
INLINE void draw_masks(uint16_t *masks, int vectors, uint64_t seed, float dropout, int image) {
    const uint32_t dropped = (uint32_t)(dropout * 4294967296.0);
    ROLLED for (int i = 0; i < vectors; i++)
        masks[i] = random_lane_mask(seed, (uint32_t)(image * vectors + i), dropped);
}

INLINE vec dropped(vec x, Map m, const uint16_t *masks, float scale, int channelwise, int at,
                   int b) {
    return blend(expand_mask(masks[channelwise ? b : at / LANES]), x * scale, x - x);
}

INLINE void dropout_forward(Map m, Input in, const uint16_t *masks, float scale, int channelwise,
                            int training, elem *v) {
    FOR_MAP(m, {
        const vec x = input_at(in, h, w, b);
        store(v + at, training ? dropped(x, m, masks, scale, channelwise, at, b) : x);
    })
}

INLINE void dropout_backward(Map m, const uint16_t *masks, float scale, int channelwise,
                             const elem *g, float *dx) {
    FOR_MAP(m, *(vec *)(dx + at) =
                   dropped(load(g + at), m, masks, scale, channelwise, at, b);)
}

/* Batch norm of a map that no convolution of its own precedes. */
INLINE void norm_sums(Map m, Input in, ThreadWorkspace ws) {
    FOR_MAP(m, {
        const vec x = input_at(in, h, w, b);
        *(vec *)(ws.sum + b * LANES) += x;
        *(vec *)(ws.square + b * LANES) += x * x;
    })
}

INLINE void norm_forward(Map m, Input in, ThreadWorkspace ws, elem *v) {
    FOR_MAP(m, store(v + at, input_at(in, h, w, b) * load_f32(ws.scale + b * LANES) +
                                 load_f32(ws.shift + b * LANES));)
}

INLINE void norm_gradient_sums(Map m, Input in, const elem *g, ThreadWorkspace ws) {
    FOR_MAP(m, {
        const vec grad = load(g + at);
        *(vec *)(ws.sum + b * LANES) += grad;
        *(vec *)(ws.square + b * LANES) +=
            grad * (input_at(in, h, w, b) - load_f32(ws.center + b * LANES)) *
            load_f32(ws.inv_std + b * LANES);
    })
}

INLINE void norm_backward(Map m, Input in, const elem *g, ThreadWorkspace ws, float *dx) {
    FOR_MAP(m, {
        const vec normalized = (input_at(in, h, w, b) - load_f32(ws.center + b * LANES)) *
                               load_f32(ws.inv_std + b * LANES);
        *(vec *)(dx + at) =
            load_f32(ws.grad_scale + b * LANES) *
            (load(g + at) - load_f32(ws.mean_dz + b * LANES) -
             normalized * load_f32(ws.mean_dzy + b * LANES));
    })
}
