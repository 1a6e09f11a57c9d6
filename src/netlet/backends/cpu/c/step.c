/* A training step (forward, loss, backward) and the evaluation of one net, compiled for that net.
 *
 * The program consists of definitions that Python writes (HALF, TRAINING, IMAGES, CLASSES, FEATURES,
 * OPS, sizes and a literal for each operation), the files that define what an operation computes,
 * this file, and the passes through the net, also written by Python. All sizes are constants, so the
 * compiler unrolls every loop over a tile and keeps the tile's sums in registers.
 *
 * The images are split into as many shares as there are threads. `thread` is the number of a share,
 * whichever thread works on it (threads.c). A phase ends where batch norm needs sums over the batch.
 * The shares' sums are added in a fixed order, so the same number of threads gives bit-identical
 * results.
 */

/* The first of the n items that belong to a thread. */
INLINE int split_start(int n, int thread, int threads) {
    return (int)((int64_t)n * thread / threads);
}

/* Write one image's input of a stage where its convolution reads it. */
INLINE void pack_input(Input in, Stage next, elem *x) {
    ROLLED for (int h = 0; h < in.h; h++)
        ROLLED for (int w = 0; w < in.w; w++)
            UNROLLED for (int b = 0; b < in.lanes / LANES; b++) {
                const vec v = input_at(in, h, w, b);
                if (next.linear) store(x + (h * in.w + w) * in.lanes + b * LANES, v);
                else
                    store_partial(x + (h + next.top) * x_row(next) +
                                      (w + next.left) * pitch(next) + b * LANES,
                                  v, pitch(next) - b * LANES);
            }
}

/* Copy an image, c h w, times a scale plus a shift for each channel, to the input of a stage. */
INLINE void pack_image(Stage s, const float *image, const float *scale, const float *shift,
                       elem *x) {
    for (int c = 0; c < s.in; c++)
        for (int h = 0; h < s.in_h; h++)
            for (int w = 0; w < s.in_w; w++) {
                const float pixel = image[(c * s.in_h + h) * s.in_w + w];
                x[(h + s.top) * x_row(s) + (w + s.left) * pitch(s) + c] =
                    to_elem(scale ? pixel * scale[c] + shift[c] : pixel);
            }
}

/* Turn batch norm into a scale and a shift, from the batch's statistics in training, else from the
 * running ones; in training, also update the running statistics. `count` is the number of values
 * of a channel in the batch. */
INLINE void prepare_norm(int channels, double count, Arena *arena, Net *net, int k, int thread,
                         int training) {
    ThreadWorkspace ws = arena->workspace[thread][k];
    const Tensors t = net->op[k];
    for (int c = 0; c < channels; c++) {
        double mean, var;
        if (training) {
            double sum = 0, square = 0;
            for (int i = 0; i < net->threads; i++)
                sum += arena->workspace[i][k].sum[c], square += arena->workspace[i][k].square[c];
            mean = sum / count;
            var = fmax(square / count - mean * mean, 0);
            if (thread == 0 && t.mean) {
                t.mean[c] += t.momentum * ((float)mean - t.mean[c]);
                t.var[c] += t.momentum * ((float)(var * count / (count - 1)) - t.var[c]);
            }
        } else mean = t.mean[c], var = t.var[c];
        ws.center[c] = (float)mean;
        ws.inv_std[c] = (float)(1 / sqrt(var + t.epsilon));
        ws.scale[c] = t.gamma ? ws.inv_std[c] * t.gamma[c] : ws.inv_std[c];
        ws.shift[c] = (t.beta ? t.beta[c] : 0) - ws.center[c] * ws.scale[c];
    }
}

/* Gradients of batch norm's parameters, and the means over the batch that dy needs. */
INLINE void prepare_norm_gradient(int channels, float count, Arena *arena, Net *net, int k,
                                  int thread) {
    ThreadWorkspace ws = arena->workspace[thread][k];
    const Tensors t = net->op[k];
    for (int c = 0; c < channels; c++) {
        float sum = 0, sum_dzy = 0;
        for (int i = 0; i < net->threads; i++)
            sum += arena->workspace[i][k].sum[c], sum_dzy += arena->workspace[i][k].square[c];
        if (thread == 0 && t.d_beta) t.d_beta[c] = t.add_beta ? t.d_beta[c] + sum : sum;
        if (thread == 0 && t.d_gamma) t.d_gamma[c] = t.add_gamma ? t.d_gamma[c] + sum_dzy : sum_dzy;
        ws.grad_scale[c] = t.gamma ? ws.inv_std[c] * t.gamma[c] : ws.inv_std[c];
        ws.mean_dz[c] = sum / count;
        ws.mean_dzy[c] = sum_dzy / count;
    }
}

INLINE void clear_sums(Arena *arena, int k, int thread, int lanes) {
    memset(arena->workspace[thread][k].sum, 0, lanes * 4);
    memset(arena->workspace[thread][k].square, 0, lanes * 4);
}

/* Clear the sums and copy the weights, each thread its share of the channels. */
INLINE void init_stage(Stage s, const Net *net, Arena *arena, int k, int thread, int with_input) {
    const ThreadWorkspace ws = arena->workspace[thread][k];
    clear_sums(arena, k, thread, lanes(s));
#if TRAINING
    memset(ws.d_bias, 0, lanes(s) * 4);
    if (!s.linear) memset(ws.d_weight, 0, w_size(s) * 4); /* a linear layer's is written once */
#endif
    (void)ws;
    pack_weights(s, net->op[k].weight, arena->weight[k],
                 TRAINING && with_input ? arena->back_weight[k] : NULL,
                 split_start(s.out, thread, net->threads),
                 split_start(s.out, thread + 1, net->threads));
}

/* The bias of a stage in full vectors, or NULL. */
INLINE const float *pad_bias(Stage s, const Net *net, int k, float *bias) {
    if (!s.bias) return NULL;
    memset(bias, 0, lanes(s) * 4);
    memcpy(bias, net->op[k].bias, s.out * 4);
    return bias;
}

/* The sums that batch norm needs of values that a ReLU follows. */
INLINE void add_rectified_sums(Stage s, const elem *y, ThreadWorkspace ws) {
    for (int pixel = 0; pixel < s.h * s.w; pixel++)
        for (int b = 0; b < lanes(s); b += LANES) {
            const vec v = relu_of(load(y + pixel * lanes(s) + b));
            *(vec *)(ws.sum + b) += v;
            *(vec *)(ws.square + b) += v * v;
        }
}

/* The convolution of one image in stage k, with the sums that batch norm needs. */
INLINE void convolve(Stage s, const Net *net, const Arena *arena, int k, int slot,
                     ThreadWorkspace ws) {
    float padded[lanes(s)];
    const float *bias = pad_bias(s, net, k, padded);
    const elem *x = arena->x[k] + slot * x_size(s);
    elem *y = arena->y[k] + slot * y_size(s);
    const int summed = s.norm && !s.relu_first;
    if (s.depthwise)
        convolve_depthwise(forward_depthwise_geometry(s), x, arena->weight[k], bias, y,
                           summed ? ws.sum : NULL, summed ? ws.square : NULL);
    else
        convolve_maps(forward_geometry(s), x, arena->weight[k], bias, y, summed ? ws.sum : NULL,
                      summed ? ws.square : NULL);
    if (s.norm && s.relu_first) add_rectified_sums(s, y, ws);
}

/* The same for a linear layer and the images from a slot on. */
INLINE void multiply(Stage s, const Net *net, const Arena *arena, int k, int slot, int n,
                     ThreadWorkspace ws) {
    float padded[lanes(s)];
    const float *bias = pad_bias(s, net, k, padded);
    elem *y = arena->y[k] + slot * y_size(s);
    const int summed = s.norm && !s.relu_first;
    multiply_forward(s, arena->x[k] + slot * x_size(s), arena->weight[k], bias, y,
                     summed ? ws.sum : NULL, summed ? ws.square : NULL, n);
    if (s.norm && s.relu_first)
        for (int i = 0; i < n; i++) add_rectified_sums(s, y + i * y_size(s), ws);
}

INLINE void weight_gradient_of(Stage s, const Arena *arena, int k, int thread, int n) {
    const ThreadWorkspace ws = arena->workspace[thread][k];
    const elem *x = arena->x[k] + n * x_size(s);
    if (s.depthwise) depthwise_gradient(s, x, ws.dy, ws.d_weight);
    else
        weight_gradient(s, interleave_windows(s, x, ws.x_pairs), ws.dy_pairs, ws.d_weight);
}

/* The gradient of one image's input; `add`: to what other operations wrote there. */
INLINE void input_gradient_of(Stage s, const Arena *arena, int k, int thread, elem *g, int add) {
    const ThreadWorkspace ws = arena->workspace[thread][k];
    elem *to = add ? (elem *)ws.scratch : g;
    if (s.depthwise)
        convolve_depthwise(backward_depthwise_geometry(s), ws.dy, arena->back_weight[k], NULL, to,
                           NULL, NULL);
    else
        convolve_maps(backward_geometry(s), ws.dy, arena->back_weight[k], NULL, to, NULL, NULL);
    if (add) add_stored_gradient(to, g, s.in_h * s.in_w * back_lanes(s));
}

/* What the logits are computed from: an operation's output, averaged over the map or flattened as
 * H W C, FEATURES numbers. */
typedef struct {
    int h, w, lanes, channels, averaged, head, head_bias;
    int softmax; /* the net itself makes probabilities of the logits, and the loss reads these */
} End;

INLINE int is_flat(End e) { return !e.averaged && e.h * e.w > 1; }

/* Where the linear layer's weight i for each class lies among the features. */
INLINE int feature_of(End e, int i) {
    if (!is_flat(e)) return i;
    return i % (e.h * e.w) * e.lanes + i / (e.h * e.w);
}

/* Copy the linear layer's weights in the order of the features, each thread its share. */
INLINE void init_head(End e, const Net *net, Arena *arena, int thread) {
    if (!is_flat(e) || !e.head) return;
    const int inputs = e.h * e.w * e.channels;
    for (int c = split_start(CLASSES, thread, net->threads);
         c < split_start(CLASSES, thread + 1, net->threads); c++) {
        memset(arena->head + (size_t)c * FEATURES, 0, FEATURES * 4);
        for (int i = 0; i < inputs; i++)
            arena->head[(size_t)c * FEATURES + feature_of(e, i)] = net->head[c * inputs + i];
    }
}

INLINE void compute_features(End e, Input in, float *features) {
    if (is_flat(e)) {
        ROLLED for (int h = 0; h < e.h; h++)
            ROLLED for (int w = 0; w < e.w; w++)
                ROLLED for (int b = 0; b < e.lanes / LANES; b++)
                    *(vec *)(features + (h * e.w + w) * e.lanes + b * LANES) =
                        input_at(in, h, w, b);
        return;
    }
    UNROLLED for (int b = 0; b < e.lanes / LANES; b++) {
        vec sum = {0};
        ROLLED for (int h = 0; h < e.h; h++)
            ROLLED for (int w = 0; w < e.w; w++) sum += input_at(in, h, w, b);
        *(vec *)(features + b * LANES) = sum * (1.0f / (e.h * e.w));
    }
}

/* Features, and the linear layer if there is one. */
INLINE void compute_logits(End e, Input in, const Net *net, const Arena *arena, float *features,
                           float *logits) {
    compute_features(e, in, features);
    for (int c = 0; c < CLASSES; c++) {
        float sum = e.head_bias ? net->head_bias[c] : 0;
        if (e.head && is_flat(e)) {
            vec total = {0};
            for (int i = 0; i < FEATURES; i += LANES)
                total += load_f32(arena->head + (size_t)c * FEATURES + i) * load_f32(features + i);
            for (int i = 0; i < LANES; i++) sum += total[i];
        } else if (e.head)
            for (int i = 0; i < e.channels; i++) sum += net->head[c * e.channels + i] * features[i];
        logits[c] = e.head ? sum : features[c];
    }
    if (!e.softmax) return;
    float largest = logits[0], total = 0;
    for (int c = 1; c < CLASSES; c++) largest = fmaxf(largest, logits[c]);
    for (int c = 0; c < CLASSES; c++) total += logits[c] = expf(logits[c] - largest);
    for (int c = 0; c < CLASSES; c++) logits[c] /= total;
}

#ifndef WITH_TEACHER
#define SOFT_PARAMETER
#endif

/* Add the loss of one image, and the gradients of the linear layer and of the features. */
INLINE void loss_of_image(End e, Input in, const Net *net, Arena *arena, int thread, int label,
                          float smoothing, int images, elem *g SOFT_PARAMETER) {
    float features[FEATURES], d_features[FEATURES], logits[CLASSES];
    float *d_head = arena->d_head[thread], *d_bias = arena->d_head_bias[thread];
    compute_logits(e, in, net, arena, features, logits);
    int best = 0;
    float mean = 0, total = 0;
    for (int c = 0; c < CLASSES; c++) {
        if (logits[c] > logits[best] || logits[c] != logits[c]) best = c;
        mean += logits[c] / CLASSES;
    }
    for (int c = 0; c < CLASSES; c++) total += expf(logits[c] - logits[best]);
    arena->correct[thread][0] += best == label;
    arena->loss[thread][0] +=
        logits[best] + logf(total) - (1 - smoothing) * logits[label] - smoothing * mean;
    memset(d_features, 0, sizeof d_features);
    float d_logits[CLASSES];
    for (int c = 0; c < CLASSES; c++) {
        const float target = (c == label ? 1 - smoothing : 0) + smoothing / CLASSES;
        d_logits[c] = (expf(logits[c] - logits[best]) / total - target) / images;
    }
#ifdef WITH_TEACHER
    mix_in_teacher(soft, logits,
                   logits[best] + logf(total) - (1 - smoothing) * logits[label] - smoothing * mean,
                   images, &arena->loss[thread][0], d_logits);
#endif
    if (e.softmax) {
        float product = 0;
        for (int c = 0; c < CLASSES; c++) product += d_logits[c] * logits[c];
        for (int c = 0; c < CLASSES; c++) d_logits[c] = logits[c] * (d_logits[c] - product);
    }
    for (int c = 0; c < CLASSES; c++) {
        const float d = d_logits[c];
        if (e.head && is_flat(e))
            for (int i = 0; i < FEATURES; i++) {
                d_features[i] += d * arena->head[(size_t)c * FEATURES + i];
                d_head[(size_t)c * FEATURES + i] += d * features[i];
            }
        else if (e.head)
            for (int i = 0; i < e.channels; i++) {
                d_features[i] += d * net->head[c * e.channels + i];
                d_head[c * FEATURES + i] += d * features[i];
            }
        else d_features[c] = d;
        d_bias[c] += d;
    }
    for (int b = 0; b < e.lanes; b += LANES)
        for (int pixel = 0; pixel < e.h * e.w; pixel++)
            store(g + pixel * e.lanes + b,
                  is_flat(e) ? load_f32(d_features + pixel * e.lanes + b)
                             : load_f32(d_features + b) * (1.0f / (e.h * e.w)));
}

INLINE void clear_loss(Arena *arena, int thread) {
    memset(arena->d_head[thread], 0, (size_t)CLASSES * FEATURES * 4);
    memset(arena->d_head_bias[thread], 0, CLASSES * 4);
    arena->loss[thread][0] = 0;
    arena->correct[thread][0] = 0;
}

/* Add up what the threads found at the end of the net. */
INLINE void reduce_loss(End e, const Net *net, const Arena *arena, int n, float *loss,
                        int64_t *correct) {
    double total = 0;
    *correct = 0;
    for (int t = 0; t < net->threads; t++)
        total += arena->loss[t][0], *correct += arena->correct[t][0];
    *loss = (float)(total / n);
    const int inputs = is_flat(e) ? e.h * e.w * e.channels : e.channels;
    for (int c = 0; c < CLASSES && e.head; c++) {
        for (int i = 0; i < inputs; i++) {
            float sum = 0;
            for (int t = 0; t < net->threads; t++)
                sum += arena->d_head[t][(size_t)c * FEATURES + feature_of(e, i)];
            net->d_head[c * inputs + i] = sum;
        }
        if (e.head_bias) {
            net->d_head_bias[c] = 0;
            for (int t = 0; t < net->threads; t++) net->d_head_bias[c] += arena->d_head_bias[t][c];
        }
    }
}

static Arena *arena_of(const Net *net) {
    Arena *arena = net->memory;
    lay_out_arena((char *)net->memory + (sizeof(Arena) + 63) / 64 * 64, net->threads, arena);
    return arena;
}

/* The arguments of a pass. */
typedef struct {
    Net *net;
    Arena *arena;
    const float *images;
    const int64_t *labels;
    int n;
    float smoothing;
    uint64_t seed;
    float *logits;
#ifdef WITH_TEACHER
    SoftTarget soft; /* of all images */
#endif
} Work;
