/* A training step (forward, loss, backward) and the evaluation of one net, compiled for that net.
 *
 * `c_source.py` writes HALF, TRAINING, IMAGES, CLASSES, HEAD, HEAD_BIAS, STAGES and a literal
 * STAGE_k for each stage, then numbers.c, layout.c, convolution.c, depthwise.c and activation.c,
 * then this file. All sizes are constants, so the compiler unrolls every loop over a tile and keeps
 * the tile's sums in registers.
 *
 * Each thread takes its share of the images through the whole net. Threads wait for each other
 * where batch norm needs sums over the batch. Their sums are added in a fixed order, so the same
 * number of threads gives bit-identical results.
 */

/* The convolution output of image n in stage k. */
INLINE ConvOutput conv_output(Stage s, const Arena *arena, const Net *net, int k, int thread, int n,
                              int training) {
    const ThreadWorkspace *ws = &arena->workspace[thread][k];
    return (ConvOutput){arena->y[k] + n * y_size(s), ws->scale, ws->shift,
                        training && s.dropout ? arena->masks[k] + n * (y_size(s) / LANES) : NULL,
                        training ? 1 / (1 - net->stage[k].dropout) : 1};
}

/* Write one image's stage output where the next stage reads its input. */
INLINE void pack_input(Stage s, Stage next, ConvOutput conv, elem *x) {
    ROLLED for (int h = 0; h < s.out_h; h++)
        ROLLED for (int w = 0; w < s.out_w; w++)
            UNROLLED for (int b = 0; b < lanes(s) / LANES; b++)
                store_partial(x + (h + next.padding) * x_row(next) +
                                  (w + next.padding) * pitch(next) + b * LANES,
                              stage_output_at(s, conv, h, w, b), pitch(next) - b * LANES);
}

/* Copy an image, c h w, to the input of the first stage. */
INLINE void pack_image(Stage s, const float *image, elem *x) {
    for (int c = 0; c < s.in; c++)
        for (int h = 0; h < s.in_h; h++)
            for (int w = 0; w < s.in_w; w++)
                x[(h + s.padding) * x_row(s) + (w + s.padding) * pitch(s) + c] =
                    to_elem(image[(c * s.in_h + h) * s.in_w + w]);
}

/* Draw the dropout mask of one image. */
INLINE void dropout_mask(Stage s, uint16_t *masks, uint64_t seed, float dropout, int image) {
    const int vectors = (int)y_size(s) / LANES;
    const uint32_t dropped = (uint32_t)(dropout * 4294967296.0);
    ROLLED for (int i = 0; i < vectors; i++)
        masks[i] = random_lane_mask(seed, (uint32_t)(image * vectors + i), dropped);
}

/* Turn batch norm into a scale and a shift, from the batch's statistics in training, else from the
 * running ones; in training, also update the running statistics. */
INLINE void prepare_norm(Stage s, Arena *arena, Net *net, int k, int thread, int n, int training) {
    if (!s.norm) return;
    ThreadWorkspace ws = arena->workspace[thread][k];
    const Tensors t = net->stage[k];
    const double count = (double)n * s.h * s.w;
    for (int c = 0; c < s.out; c++) {
        double mean, var;
        if (training) {
            double sum = 0, square = 0;
            for (int i = 0; i < net->threads; i++)
                sum += arena->workspace[i][k].sum[c], square += arena->workspace[i][k].square[c];
            mean = sum / count;
            var = fmax(square / count - mean * mean, 0);
            if (thread == 0) {
                t.mean[c] += t.momentum * ((float)mean - t.mean[c]);
                t.var[c] += t.momentum * ((float)(var * count / (count - 1)) - t.var[c]);
            }
        } else mean = t.mean[c], var = t.var[c];
        ws.center[c] = (float)mean;
        ws.inv_std[c] = (float)(1 / sqrt(var + t.epsilon));
        ws.scale[c] = ws.inv_std[c] * t.gamma[c];
        ws.shift[c] = t.beta[c] - ws.center[c] * ws.scale[c];
    }
}

/* Gradients of batch norm's parameters, and the means over the batch that dy needs. */
INLINE void prepare_norm_gradient(Stage s, Arena *arena, Net *net, int k, int thread, int n) {
    if (!s.norm) return;
    ThreadWorkspace ws = arena->workspace[thread][k];
    const Tensors t = net->stage[k];
    const float count = (float)n * s.h * s.w;
    for (int c = 0; c < s.out; c++) {
        float sum = 0, sum_dzy = 0;
        for (int i = 0; i < net->threads; i++)
            sum += arena->workspace[i][k].sum[c], sum_dzy += arena->workspace[i][k].square[c];
        if (thread == 0) t.d_beta[c] = sum, t.d_gamma[c] = sum_dzy;
        ws.grad_scale[c] = ws.inv_std[c] * t.gamma[c];
        ws.mean_dz[c] = sum / count;
        ws.mean_dzy[c] = sum_dzy / count;
    }
}

/* The first of the n items that belong to a thread. */
INLINE int split_start(int n, int thread, int threads) {
    return (int)((int64_t)n * thread / threads);
}

/* Global average pooling, then the linear layer if there is one. */
INLINE void compute_logits(Stage last, ConvOutput conv, const Net *net, float *features,
                           float *logits) {
    UNROLLED for (int b = 0; b < lanes(last) / LANES; b++) {
        vec sum = {0};
        ROLLED for (int h = 0; h < last.out_h; h++)
            ROLLED for (int w = 0; w < last.out_w; w++) sum += stage_output_at(last, conv, h, w, b);
        *(vec *)(features + b * LANES) = sum * (1.0f / (last.out_h * last.out_w));
    }
    for (int c = 0; c < CLASSES; c++) {
        float sum = HEAD_BIAS ? net->head_bias[c] : 0;
        if (HEAD)
            for (int i = 0; i < last.out; i++) sum += net->head[c * last.out + i] * features[i];
        logits[c] = HEAD ? sum : features[c];
    }
}

/* Clear the sums and copy the weights, each thread its share of the channels. */
INLINE void init_stage(Stage s, const Net *net, Arena *arena, int k, int thread) {
    const ThreadWorkspace ws = arena->workspace[thread][k];
    memset(ws.sum, 0, lanes(s) * 4);
    memset(ws.square, 0, lanes(s) * 4);
    memset(ws.d_bias, 0, lanes(s) * 4);
    memset(ws.d_weight, 0, w_size(s) * 4);
    pack_weights(s, net->stage[k].weight, arena->weight[k], k ? arena->back_weight[k] : NULL,
                 split_start(s.out, thread, net->threads),
                 split_start(s.out, thread + 1, net->threads));
}

/* The convolution of one image in stage k, with the sums that batch norm needs. */
INLINE void convolve(Stage s, const Net *net, const Arena *arena, int k, int slot,
                     ThreadWorkspace ws) {
    float bias[lanes(s)];
    if (s.bias) {
        memset(bias, 0, lanes(s) * 4);
        memcpy(bias, net->stage[k].bias, s.out * 4);
    }
    const elem *x = arena->x[k] + slot * x_size(s);
    elem *y = arena->y[k] + slot * y_size(s);
    const int summed = s.norm && !s.relu_first;
    if (s.depthwise)
        convolve_depthwise(forward_depthwise_geometry(s), x, arena->weight[k], s.bias ? bias : NULL,
                           y, summed ? ws.sum : NULL, summed ? ws.square : NULL);
    else
        convolve_maps(forward_geometry(s), x, arena->weight[k], s.bias ? bias : NULL, y,
                      summed ? ws.sum : NULL, summed ? ws.square : NULL);
    if (s.norm && s.relu_first)
        for (int pixel = 0; pixel < s.h * s.w; pixel++)
            for (int b = 0; b < lanes(s); b += LANES) {
                const vec v = relu_of(load(y + pixel * lanes(s) + b));
                *(vec *)(ws.sum + b) += v;
                *(vec *)(ws.square + b) += v * v;
            }
}

/* One function for each stage and pass, so that the compiler optimizes each by itself and a
 * profiler shows each by itself. */
#define FUNCTIONS(k, prev)                                                                        \
    static NOINLINE void convolve_##k(const Net *net, const Arena *arena, int slot,               \
                                      ThreadWorkspace ws) {                                       \
        convolve(STAGE_##k, net, arena, k, slot, ws);                                             \
    }                                                                                             \
    static NOINLINE void pack_input_##k(const Net *net, const Arena *arena, int thread, int slot, \
                                        int training) {                                           \
        if (k)                                                                                    \
            pack_input(STAGE_##prev, STAGE_##k,                                                   \
                       conv_output(STAGE_##prev, arena, net, k - 1, thread, slot, training),      \
                       arena->x[k] + slot * x_size(STAGE_##k));                                   \
    }                                                                                             \
    static NOINLINE void norm_gradient_sums_##k(const Net *net, const Arena *arena, int thread,   \
                                                int n) {                                          \
        add_norm_gradient_sums(STAGE_##k, conv_output(STAGE_##k, arena, net, k, thread, n, 1),    \
                               arena->g[k] + n * g_size(STAGE_##k), arena->workspace[thread][k]); \
    }                                                                                             \
    static NOINLINE void convolution_gradient_##k(const Net *net, const Arena *arena, int thread, \
                                                  int n) {                                        \
        convolution_gradient(STAGE_##k, conv_output(STAGE_##k, arena, net, k, thread, n, 1),      \
                             arena->g[k] + n * g_size(STAGE_##k), arena->workspace[thread][k],    \
                             k > 0 || STAGE_##k.depthwise);                                       \
    }                                                                                             \
    static NOINLINE void weight_gradient_##k(const Arena *arena, int thread, int n) {             \
        const ThreadWorkspace ws = arena->workspace[thread][k];                                   \
        const elem *x = arena->x[k] + n * x_size(STAGE_##k);                                      \
        if (STAGE_##k.depthwise) depthwise_gradient(STAGE_##k, x, ws.dy, ws.d_weight);            \
        else                                                                                      \
            weight_gradient(STAGE_##k, interleave_windows(STAGE_##k, x, ws.x_pairs), ws.dy_pairs, \
                            ws.d_weight);                                                         \
    }                                                                                             \
    static NOINLINE void input_gradient_##k(const Arena *arena, int thread, int n) {              \
        const elem *dy = arena->workspace[thread][k].dy, *weight = arena->back_weight[k];         \
        elem *g = arena->g[prev] + n * g_size(STAGE_##prev);                                      \
        if (STAGE_##k.depthwise)                                                                  \
            convolve_depthwise(backward_depthwise_geometry(STAGE_##k), dy, weight, NULL, g, NULL, \
                               NULL);                                                             \
        else convolve_maps(backward_geometry(STAGE_##k), dy, weight, NULL, g, NULL, NULL);        \
    }
FOR_STAGES_WITH_PREVIOUS(FUNCTIONS)

/* Add up the gradients of all threads and write them where PyTorch reads them. */
INLINE void reduce_gradients(Stage s, const Net *net, const Arena *arena, int k, int thread) {
    const Tensors t = net->stage[k];
    const int kernel = s.kernel;
    for (int o = split_start(s.out, thread, net->threads);
         o < split_start(s.out, thread + 1, net->threads); o++) {
        for (int i = 0; i < (s.depthwise ? 1 : s.in); i++)
            for (int r = 0; r < kernel; r++)
                for (int c = 0; c < kernel; c++) {
                    const int tap =
                        s.depthwise ? r * kernel + c : r * kernel_row(s) + c * pitch(s) + i;
                    float sum = 0;
                    for (int a = 0; a < net->threads; a++)
                        sum += arena->workspace[a][k].d_weight[tap * lanes(s) + o];
                    t.d_weight[((s.depthwise ? o : o * s.in + i) * kernel + r) * kernel + c] = sum;
                }
        if (s.bias) {
            t.d_bias[o] = 0;
            for (int a = 0; a < net->threads; a++) t.d_bias[o] += arena->workspace[a][k].d_bias[o];
        }
    }
}

/* Logits, loss and their gradients for one thread's images, back to the last stage's output. */
INLINE void loss_and_head_gradient(const Net *net, Arena *arena, int thread, int from, int to,
                                   int images, const int64_t *labels, float smoothing) {
    const Stage last = stages[STAGES - 1];
    const int all = lanes(last), k = STAGES - 1;
    float features[all], logits[CLASSES];
    float *d_head = arena->d_head[thread], *d_bias = arena->d_head_bias[thread];
    memset(d_head, 0, CLASSES * all * 4);
    memset(d_bias, 0, CLASSES * 4);
    double loss = 0;
    int64_t correct = 0;
    for (int n = from; n < to; n++) {
        const ConvOutput conv = conv_output(last, arena, net, k, thread, n, 1);
        compute_logits(last, conv, net, features, logits);
        int best = 0;
        float mean = 0, total = 0;
        for (int c = 0; c < CLASSES; c++) {
            if (logits[c] > logits[best] || logits[c] != logits[c]) best = c;
            mean += logits[c] / CLASSES;
        }
        for (int c = 0; c < CLASSES; c++) total += expf(logits[c] - logits[best]);
        const int label = (int)labels[n];
        correct += best == label;
        loss += logits[best] + logf(total) - (1 - smoothing) * logits[label] - smoothing * mean;
        float d_features[all];
        memset(d_features, 0, sizeof d_features);
        for (int c = 0; c < CLASSES; c++) {
            const float target = (c == label ? 1 - smoothing : 0) + smoothing / CLASSES;
            const float d = (expf(logits[c] - logits[best]) / total - target) / images;
            if (HEAD)
                for (int i = 0; i < last.out; i++) {
                    d_features[i] += d * net->head[c * last.out + i];
                    d_head[c * all + i] += d * features[i];
                }
            else d_features[c] = d;
            d_bias[c] += d;
        }
        elem *g = arena->g[k] + n * g_size(last);
        for (int b = 0; b < all; b += LANES)
            for (int pixel = 0; pixel < last.out_h * last.out_w; pixel++)
                store(g + pixel * all + b,
                      load_f32(d_features + b) * (1.0f / (last.out_h * last.out_w)));
        add_norm_gradient_sums(last, conv, g, arena->workspace[thread][k]);
    }
    arena->loss[thread][0] = loss;
    arena->correct[thread][0] = correct;
}

static Arena *arena_of(const Net *net) {
    Arena *arena = net->memory;
    lay_out_arena((char *)net->memory + (sizeof(Arena) + 63) / 64 * 64, net->threads, arena);
    return arena;
}

#ifdef _OPENMP
#define BARRIER _Pragma("omp barrier")
#define THREAD omp_get_thread_num()
#else
#define BARRIER
#define THREAD 0
#endif

/* The number of threads that OpenMP starts if `threads` are requested. */
int netlet_thread_count(int threads) {
    int started = 1;
#pragma omp parallel num_threads(threads)
#ifdef _OPENMP
    if (omp_get_thread_num() == 0) started = omp_get_num_threads();
#else
    (void)threads;
#endif
    return started;
}

#define INIT_STAGE(k) init_stage(STAGE_##k, net, arena, k, thread);

#if TRAINING
/* Forward and backward pass over a batch.
 *
 * images: n c h w, normalized. labels: n. Writes the gradients of the mean loss to the tensors in
 * `net`, updates the running statistics, and sets `loss` to the mean loss and `correct` to the
 * number of correct predictions.
 */
void netlet_step(Net *net, const float *images, const int64_t *labels, int n, float smoothing,
                 uint64_t seed, float *loss, int64_t *correct) {
    Arena *arena = arena_of(net);
    const Stage first = stages[0];
#pragma omp parallel num_threads(net->threads)
    {
        const int thread = THREAD, from = split_start(n, thread, net->threads),
                  to = split_start(n, thread + 1, net->threads);
        FOR_STAGES(INIT_STAGE)
        for (int i = from; i < to; i++)
            pack_image(first, images + (size_t)i * first.in * first.in_h * first.in_w,
                       arena->x[0] + i * x_size(first));
        BARRIER;
#define FORWARD(k, prev)                                                                         \
    for (int i = from; i < to; i++) {                                                            \
        pack_input_##k(net, arena, thread, i, 1);                                                \
        convolve_##k(net, arena, i, arena->workspace[thread][k]);                                \
        if (STAGE_##k.dropout)                                                                   \
            dropout_mask(STAGE_##k, arena->masks[k] + i * (y_size(STAGE_##k) / LANES), seed + k, \
                         net->stage[k].dropout, i);                                              \
    }                                                                                            \
    if (STAGE_##k.norm) {                                                                        \
        BARRIER;                                                                                 \
        prepare_norm(STAGE_##k, arena, net, k, thread, n, 1);                                    \
    }
        FOR_STAGES_WITH_PREVIOUS(FORWARD)
        BARRIER; /* all threads have read the sums, which are used for others from here on */
#define CLEAR(k)                                                      \
    memset(arena->workspace[thread][k].sum, 0, lanes(STAGE_##k) * 4); \
    memset(arena->workspace[thread][k].square, 0, lanes(STAGE_##k) * 4);
        FOR_STAGES(CLEAR)
        loss_and_head_gradient(net, arena, thread, from, to, n, labels, smoothing);
#define BACKWARD(k, prev)                                           \
    if (STAGE_##k.norm) {                                           \
        BARRIER;                                                    \
        prepare_norm_gradient(STAGE_##k, arena, net, k, thread, n); \
    }                                                               \
    for (int i = from; i < to; i++) {                               \
        convolution_gradient_##k(net, arena, thread, i);            \
        weight_gradient_##k(arena, thread, i);                      \
        if (k) {                                                    \
            input_gradient_##k(arena, thread, i);                   \
            norm_gradient_sums_##prev(net, arena, thread, i);       \
        }                                                           \
    }
        FOR_STAGES_REVERSED(BACKWARD)
        BARRIER;
#define REDUCE_GRADIENTS(k) reduce_gradients(STAGE_##k, net, arena, k, thread);
        FOR_STAGES(REDUCE_GRADIENTS)
    }
    double total = 0;
    *correct = 0;
    for (int t = 0; t < net->threads; t++)
        total += arena->loss[t][0], *correct += arena->correct[t][0];
    *loss = (float)(total / n);
    const Stage last = stages[STAGES - 1];
    for (int c = 0; c < CLASSES && HEAD; c++) {
        for (int i = 0; i < last.out; i++) {
            net->d_head[c * last.out + i] = 0;
            for (int t = 0; t < net->threads; t++)
                net->d_head[c * last.out + i] += arena->d_head[t][c * lanes(last) + i];
        }
        if (HEAD_BIAS) {
            net->d_head_bias[c] = 0;
            for (int t = 0; t < net->threads; t++) net->d_head_bias[c] += arena->d_head_bias[t][c];
        }
    }
}
#endif

/* Logits, n CLASSES, of normalized images, n c h w, in evaluation mode: running statistics, no
 * dropout. */
void netlet_scores(Net *net, const float *images, int n, float *logits) {
    Arena *arena = arena_of(net);
    const Stage first = stages[0];
#pragma omp parallel num_threads(net->threads)
    {
        const int thread = THREAD;
        FOR_STAGES(INIT_STAGE)
#define PREPARE_NORM(k) prepare_norm(STAGE_##k, arena, net, k, thread, n, 0);
        FOR_STAGES(PREPARE_NORM)
        BARRIER;
        for (int i = split_start(n, thread, net->threads);
             i < split_start(n, thread + 1, net->threads); i++) {
            pack_image(first, images + (size_t)i * first.in * first.in_h * first.in_w,
                       arena->x[0] + thread * x_size(first));
#define FORWARD_EVALUATION(k, prev)                \
    pack_input_##k(net, arena, thread, thread, 0); \
    convolve_##k(net, arena, thread, arena->workspace[thread][k]);
            FOR_STAGES_WITH_PREVIOUS(FORWARD_EVALUATION)
            const Stage last = stages[STAGES - 1];
            float features[lanes(last)];
            compute_logits(last, conv_output(last, arena, net, STAGES - 1, thread, thread, 0), net,
                           features, logits + (size_t)i * CLASSES);
        }
    }
}
