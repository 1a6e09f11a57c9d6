/* Forward and backward pass of what follows a convolution: ReLU, batch norm, dropout, ReLU,
 * pooling. And how every operation reads an earlier one's output. */

/* A random mask of the lanes that dropout keeps, one bit each; `counter` numbers the vector. */
INLINE uint16_t random_lane_mask(uint64_t seed, uint32_t counter, uint32_t dropped) {
    uint_vec r;
    UNROLLED for (int i = 0; i < LANES; i++) r[i] = (uint32_t)i * 0x9e3779b9u;
    r ^= (counter + (uint32_t)seed) * 0x85ebca6bu + (uint32_t)(seed >> 32);
    r = (r ^ (r >> 16)) * 0x7feb352du; /* the mixing function lowbias32 of hash-prospector */
    r = (r ^ (r >> 15)) * 0x846ca68bu;
    r ^= r >> 16;
    int_vec keep = (int_vec)(r >= dropped);
#if LANES == 16 && defined __AVX512DQ__
    return (uint16_t)_mm512_movepi32_mask((__m512i)keep);
#else
    uint16_t mask = 0;
    for (int i = 0; i < LANES; i++) mask |= (uint16_t)((keep[i] & 1) << i);
    return mask;
#endif
}

/* A mask of one bit for each lane as a vector of all ones or zeros. */
INLINE int_vec expand_mask(uint16_t mask) {
#if LANES == 16 && defined __AVX512DQ__
    return (int_vec)_mm512_movm_epi32(mask);
#else
    int_vec lane, all = {0};
    UNROLLED for (int i = 0; i < LANES; i++) lane[i] = 1 << i;
    return ((all + mask) & lane) != 0;
#endif
}

/* From the convolution's output to the pooling's input. */
INLINE vec activate(Stage s, vec y, vec scale, vec shift, int_vec kept, float dropout_scale) {
    if (s.relu_first) y = relu_of(y);
    if (s.norm) y = y * scale + shift;
    if (s.dropout) y = blend(kept, y * dropout_scale, y - y);
    return s.relu ? relu_of(y) : y;
}

/* One image's convolution output, and what turns it into the stage's output: batch norm as a scale
 * and a shift, the dropout mask (NULL in evaluation), and the factor that keeps the mean under
 * dropout. */
typedef struct {
    const elem *y;
    const float *scale, *shift;
    const uint16_t *masks;
    float dropout_scale;
} ConvOutput;

INLINE vec activation_at(Stage s, ConvOutput conv, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    return activate(
        s, load(conv.y + at), load_f32(conv.scale + b * LANES), load_f32(conv.shift + b * LANES),
        s.dropout && conv.masks ? expand_mask(conv.masks[at / LANES]) : (int_vec){0} - 1,
        conv.dropout_scale);
}

INLINE vec maximum(vec a, vec b) { return blend(b > a, b, a); }

/* The stage's output at row h, column w and vector b. */
INLINE vec stage_output_at(Stage s, ConvOutput conv, int h, int w, int b) {
    if (!s.pool) return activation_at(s, conv, h * s.w + w, b);
    const int corner = 2 * h * s.w + 2 * w;
    return maximum(
        maximum(activation_at(s, conv, corner, b), activation_at(s, conv, corner + 1, b)),
        maximum(activation_at(s, conv, corner + s.w, b),
                activation_at(s, conv, corner + s.w + 1, b)));
}

/* One image's output of an operation, as others read it: computed from the convolution's output if
 * the operation is a stage, else kept in v. */
typedef struct {
    Stage stage; /* out is 0 if it is none */
    ConvOutput conv;
    const elem *v;
    int h, w, lanes;
} Input;

INLINE vec input_at(Input in, int h, int w, int b) {
    if (in.stage.out) return stage_output_at(in.stage, in.conv, h, w, b);
    return load(in.v + (h * in.w + w) * in.lanes + b * LANES);
}

/* The convolution output of image n in stage k. */
INLINE ConvOutput conv_output(Stage s, const Arena *arena, const Net *net, int k, int thread, int n,
                              int training) {
    const ThreadWorkspace *ws = &arena->workspace[thread][k];
    return (ConvOutput){arena->y[k] + n * y_size(s), ws->scale, ws->shift,
                        training && s.dropout ? arena->masks[k] + n * (y_size(s) / LANES) : NULL,
                        training ? 1 / (1 - net->op[k].dropout) : 1};
}

INLINE Input stage_input(Stage s, const Arena *arena, const Net *net, int k, int thread, int n,
                         int training) {
    return (Input){s,       conv_output(s, arena, net, k, thread, n, training), NULL, s.out_h,
                   s.out_w, lanes(s)};
}

INLINE Input kept_input(const elem *v, int h, int w, int lanes) {
    return (Input){(Stage){0}, (ConvOutput){0}, v, h, w, lanes};
}

/* The gradient g of the pooling's input, passed back through ReLU and dropout; `activation` is the
 * value of that input. */
INLINE vec backward_activation(Stage s, ConvOutput conv, vec activation, vec g, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    if (s.relu) g = blend(activation > 0.0f, g, g - g);
    if (s.dropout) g = blend(expand_mask(conv.masks[at / LANES]), g * conv.dropout_scale, g - g);
    return g;
}

/* The gradient g of one image's stage output, passed back through pooling, ReLU and dropout. */
INLINE void backward_max_pool(Stage s, ConvOutput conv, const elem *g, float *dz) {
    ROLLED for (int h = 0; h < s.out_h; h++)
        ROLLED for (int w = 0; w < s.out_w; w++)
            ROLLED for (int b = 0; b < lanes(s) / LANES; b++) {
                const vec grad = load(g + (h * s.out_w + w) * lanes(s) + b * LANES);
                const int corner = 2 * h * s.w + 2 * w,
                          pixels[4] = {corner, corner + 1, corner + s.w, corner + s.w + 1};
                vec a[4], to[4];
                UNROLLED for (int i = 0; i < 4; i++) a[i] = activation_at(s, conv, pixels[i], b);
                const vec largest = maximum(maximum(a[0], a[1]), maximum(a[2], a[3]));
                int_vec assigned = {0};
                /* As in PyTorch, the first maximum gets the whole gradient. */
                UNROLLED for (int i = 0; i < 4; i++) {
                    const int_vec is_max = (a[i] == largest) & ~assigned;
                    assigned |= is_max;
                    to[i] = blend(is_max, backward_activation(s, conv, a[i], grad, pixels[i], b),
                                  grad - grad);
                }
                /* All at the end: for the compiler, dz may lie where activations are read. */
                UNROLLED for (int i = 0; i < 4; i++)
                    *(vec *)(dz + pixels[i] * lanes(s) + b * LANES) = to[i];
            }
}

INLINE vec dz_at(Stage s, ConvOutput conv, const elem *g, const float *dz, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    if (s.pool) return load_f32(dz + at);
    return backward_activation(s, conv, activation_at(s, conv, pixel, b), load(g + at), pixel, b);
}

INLINE vec norm_input(Stage s, const elem *y) { return s.relu_first ? relu_of(load(y)) : load(y); }

/* Add one image's part of the sums over the batch that batch norm's gradient needs. */
INLINE void add_norm_gradient_sums(Stage s, ConvOutput conv, const elem *g, ThreadWorkspace ws) {
    if (!s.norm) return;
    if (s.pool) backward_max_pool(s, conv, g, ws.dz);
    ROLLED for (int b = 0; b < lanes(s) / LANES; b++) {
        vec sum = {0}, sum_dzy = {0}, center = load_f32(ws.center + b * LANES);
        ROLLED for (int pixel = 0; pixel < s.h * s.w; pixel++) {
            const vec dz = dz_at(s, conv, g, ws.dz, pixel, b);
            sum += dz;
            sum_dzy += dz * (norm_input(s, conv.y + pixel * lanes(s) + b * LANES) - center);
        }
        *(vec *)(ws.sum + b * LANES) += sum;
        *(vec *)(ws.square + b * LANES) += sum_dzy * load_f32(ws.inv_std + b * LANES);
    }
}

INLINE vec dy_at(Stage s, ConvOutput conv, const elem *g, ThreadWorkspace ws, int pixel, int b) {
    vec d = dz_at(s, conv, g, ws.dz, pixel, b);
    if (!s.norm) return d;
    const vec y = load(conv.y + pixel * lanes(s) + b * LANES);
    const vec normalized = ((s.relu_first ? relu_of(y) : y) - load_f32(ws.center + b * LANES)) *
                           load_f32(ws.inv_std + b * LANES);
    d = load_f32(ws.grad_scale + b * LANES) *
        (d - load_f32(ws.mean_dz + b * LANES) - normalized * load_f32(ws.mean_dzy + b * LANES));
    return s.relu_first ? blend(y > 0.0f, d, d - d) : d;
}

/* The gradient of one image's convolution output, stored in the two formats that the gradients of
 * the input and of the weights read; also adds up the bias's gradient. */
INLINE void convolution_gradient(Stage s, ConvOutput conv, const elem *g, ThreadWorkspace ws,
                                 int with_input) {
    if (s.pool) backward_max_pool(s, conv, g, ws.dz);
    const int all = lanes(s);
    const int above = s.kernel_h - 1 - s.top, before = s.kernel_w - 1 - s.left;
    ROLLED for (int b = 0; b < all / LANES; b++) {
        vec bias = {0};
        ROLLED for (int h = 0; h < s.h; h++)
            ROLLED for (int w = 0; w < s.w; w += PAIR) {
                vec d[PAIR];
                UNROLLED for (int i = 0; i < PAIR; i++) {
                    d[i] = w + i < s.w ? dy_at(s, conv, g, ws, h * s.w + w + i, b) : (vec){0};
                    if (s.bias) bias += d[i];
                    if (with_input && w + i < s.w)
                        store_partial(ws.dy + (above + h * s.stride_h) * back_row(s) +
                                          (before + (w + i) * s.stride_w) * back_pitch(s) +
                                          b * LANES,
                                      d[i], back_pitch(s) - b * LANES);
                }
#if HALF
                *(vec *)(ws.dy_pairs + (h * pixel_pairs(s) + w / PAIR) * all + b * LANES) =
                    interleave(d[0], d[1]);
#else
                *(vec *)(ws.dy_pairs + (h * s.w + w) * all + b * LANES) = d[0];
#endif
            }
        if (s.bias) *(vec *)(ws.d_bias + b * LANES) += bias;
    }
}
