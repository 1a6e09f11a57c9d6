/* One training step of one net, compiled for that very net: forward, loss, backward; and its scores.
 *
 * `c_source.py` puts numbers.c, layout.c, convolution.c, depthwise.c and activation.c before this file, and before them HALF, IMAGES,
 * CLASSES, HEAD, HEAD_BIAS, STAGES, and for each stage a literal STAGE_k. All sizes being constants, the compiler unrolls
 * every loop over a tile and keeps the tile's sums in registers.
 *
 * Every thread takes its share of the images through the whole net; threads meet where batch norm needs sums over the
 * batch, and their sums are added in a fixed order: the same number of threads gives the same bits.
 */
INLINE Given given_of(Stage s, const Places *p, const Net *net, int k, int thread, int n, int training) {
    const Own *own = &p->own[thread][k];
    return (Given){p->y[k] + n * y_size(s), own->scale, own->shift,
                   training && s.dropout ? p->kept[k] + n * (y_size(s) / LANES) : NULL,
                   training ? 1 / (1 - net->stage[k].dropout) : 1};
}

/* Hands one image from stage to stage: what leaves k becomes what k + 1 reads. */
INLINE void pass_on(Stage s, Stage next, Given given, elem *x) {
    ROLLED for (int h = 0; h < s.out_h; h++)
        ROLLED for (int w = 0; w < s.out_w; w++)
            UNROLLED for (int b = 0; b < lanes(s) / LANES; b++)
                store_some(x + (h + next.padding) * x_row(next) + (w + next.padding) * pitch(next) + b * LANES,
                           leaving(s, given, h, w, b), pitch(next) - b * LANES);
}

/* An image, c h w, as the first stage reads it. */
INLINE void read_image(Stage s, const float *image, elem *x) {
    for (int c = 0; c < s.in; c++)
        for (int h = 0; h < s.in_h; h++)
            for (int w = 0; w < s.in_w; w++)
                x[(h + s.padding) * x_row(s) + (w + s.padding) * pitch(s) + c] =
                    narrowed(image[(c * s.in_h + h) * s.in_w + w]);
}

INLINE void toss(Stage s, uint16_t *kept, uint64_t seed, float dropout, int image) {
    const int vectors = (int)y_size(s) / LANES;
    const uint32_t dropped = (uint32_t)(dropout * 4294967296.0);
    ROLLED for (int i = 0; i < vectors; i++) kept[i] = tossed(seed, (uint32_t)(image * vectors + i), dropped);
}

/* Batch norm as one product and one sum, from this batch's statistics or the running ones. */
INLINE void settle_norm(Stage s, Places *p, Net *net, int k, int thread, int n, int training) {
    if (!s.norm) return;
    Own own = p->own[thread][k];
    const Tensors t = net->stage[k];
    const double count = (double)n * s.h * s.w;
    for (int c = 0; c < s.out; c++) {
        double mean, var;
        if (training) {
            double sum = 0, square = 0;
            for (int i = 0; i < net->threads; i++) sum += p->own[i][k].sum[c], square += p->own[i][k].square[c];
            mean = sum / count;
            var = fmax(square / count - mean * mean, 0);
            if (thread == 0) {
                t.mean[c] += t.momentum * ((float)mean - t.mean[c]);
                t.var[c] += t.momentum * ((float)(var * count / (count - 1)) - t.var[c]);
            }
        } else mean = t.mean[c], var = t.var[c];
        own.centre[c] = (float)mean;
        own.inverse[c] = (float)(1 / sqrt(var + t.epsilon));
        own.scale[c] = own.inverse[c] * t.gamma[c];
        own.shift[c] = t.beta[c] - own.centre[c] * own.scale[c];
    }
}

INLINE void settle_norm_gradient(Stage s, Places *p, Net *net, int k, int thread, int n) {
    if (!s.norm) return;
    Own own = p->own[thread][k];
    const Tensors t = net->stage[k];
    const float count = (float)n * s.h * s.w;
    for (int c = 0; c < s.out; c++) {
        float sum = 0, with_y = 0;
        for (int i = 0; i < net->threads; i++) sum += p->own[i][k].sum[c], with_y += p->own[i][k].square[c];
        if (thread == 0) t.d_beta[c] = sum, t.d_gamma[c] = with_y;
        own.gain[c] = own.inverse[c] * t.gamma[c];
        own.mean_dz[c] = sum / count;
        own.mean_dzy[c] = with_y / count;
    }
}

INLINE int share(int n, int thread, int threads) { return (int)((int64_t)n * thread / threads); }

/* The mean of every map, then the linear layer if there is one. */
INLINE void logits_of(Stage last, Given given, const Net *net, float *features, float *logits) {
    UNROLLED for (int b = 0; b < lanes(last) / LANES; b++) {
        vec sum = {0};
        ROLLED for (int h = 0; h < last.out_h; h++)
            ROLLED for (int w = 0; w < last.out_w; w++) sum += leaving(last, given, h, w, b);
        *(vec *)(features + b * LANES) = sum * (1.0f / (last.out_h * last.out_w));
    }
    for (int c = 0; c < CLASSES; c++) {
        float sum = HEAD_BIAS ? net->head_bias[c] : 0;
        if (HEAD)
            for (int i = 0; i < last.out; i++) sum += net->head[c * last.out + i] * features[i];
        logits[c] = HEAD ? sum : features[c];
    }
}

INLINE void begin_stage(Stage s, const Net *net, Places *p, int k, int thread) {
    const Own own = p->own[thread][k];
    memset(own.sum, 0, lanes(s) * 4);
    memset(own.square, 0, lanes(s) * 4);
    memset(own.d_bias, 0, lanes(s) * 4);
    memset(own.d_weight, 0, w_size(s) * 4);
    pack(s, net->stage[k].weight, p->weight[k], k ? p->back_weight[k] : NULL, share(s.out, thread, net->threads),
         share(s.out, thread + 1, net->threads));
}

INLINE void convolve(Stage s, const Net *net, const Places *p, int k, int slot, Own own) {
    float start[lanes(s)];
    if (s.bias) {
        memset(start, 0, lanes(s) * 4);
        memcpy(start, net->stage[k].bias, s.out * 4);
    }
    const elem *x = p->x[k] + slot * x_size(s);
    elem *y = p->y[k] + slot * y_size(s);
    const int summed = s.norm && !s.relu_first;
    if (s.depthwise)
        sweep(forward_sweep(s), x, p->weight[k], s.bias ? start : NULL, y, summed ? own.sum : NULL,
              summed ? own.square : NULL);
    else
        slide(forward_slide(s), x, p->weight[k], s.bias ? start : NULL, y, summed ? own.sum : NULL,
              summed ? own.square : NULL);
    if (s.norm && s.relu_first)
        for (int pixel = 0; pixel < s.h * s.w; pixel++)
            for (int b = 0; b < lanes(s); b += LANES) {
                const vec v = positive(load(y + pixel * lanes(s) + b));
                *(vec *)(own.sum + b) += v;
                *(vec *)(own.square + b) += v * v;
            }
}

/* One function a stage and pass, so that the compiler sees each by itself, and so does a profiler. */
#define FUNCTIONS(k, before)                                                                                        \
    static ALONE void convolve_##k(const Net *net, const Places *p, int slot, Own own) {                            \
        convolve(STAGE_##k, net, p, k, slot, own);                                                                  \
    }                                                                                                               \
    static ALONE void pass_on_to_##k(const Net *net, const Places *p, int thread, int slot, int training) {         \
        if (k) pass_on(STAGE_##before, STAGE_##k, given_of(STAGE_##before, p, net, k - 1, thread, slot, training),  \
                       p->x[k] + slot * x_size(STAGE_##k));                                                         \
    }                                                                                                               \
    static ALONE void norm_sums_##k(const Net *net, const Places *p, int thread, int n) {                           \
        norm_sums(STAGE_##k, given_of(STAGE_##k, p, net, k, thread, n, 1), p->g[k] + n * g_size(STAGE_##k),         \
                  p->own[thread][k]);                                                                               \
    }                                                                                                               \
    static ALONE void convolution_gradient_##k(const Net *net, const Places *p, int thread, int n) {                \
        convolution_gradient(STAGE_##k, given_of(STAGE_##k, p, net, k, thread, n, 1),                               \
                             p->g[k] + n * g_size(STAGE_##k), p->own[thread][k], k > 0 || STAGE_##k.depthwise);     \
    }                                                                                                               \
    static ALONE void weight_gradient_##k(const Places *p, int thread, int n) {                                     \
        const Own own = p->own[thread][k];                                                                          \
        const elem *x = p->x[k] + n * x_size(STAGE_##k);                                                            \
        if (STAGE_##k.depthwise) depthwise_gradient(STAGE_##k, x, own.dy, own.d_weight);                            \
        else weight_gradient(STAGE_##k, x_in_pairs(STAGE_##k, x, own.x_pairs), own.dy_pairs, own.d_weight);         \
    }                                                                                                               \
    static ALONE void input_gradient_##k(const Places *p, int thread, int n) {                                      \
        const elem *dy = p->own[thread][k].dy, *weight = p->back_weight[k];                                         \
        elem *g = p->g[before] + n * g_size(STAGE_##before);                                                        \
        if (STAGE_##k.depthwise) sweep(back_sweep(STAGE_##k), dy, weight, NULL, g, NULL, NULL);                     \
        else slide(back_slide(STAGE_##k), dy, weight, NULL, g, NULL, NULL);                                         \
    }
FOR_STAGES_AFTER(FUNCTIONS)

INLINE void hand_over(Stage s, const Net *net, const Places *p, int k, int thread) {
    const Tensors t = net->stage[k];
    const int kernel = s.kernel;
    for (int o = share(s.out, thread, net->threads); o < share(s.out, thread + 1, net->threads); o++) {
        for (int i = 0; i < (s.depthwise ? 1 : s.in); i++)
            for (int r = 0; r < kernel; r++)
                for (int c = 0; c < kernel; c++) {
                    const int tap = s.depthwise ? r * kernel + c : r * run(s) + c * pitch(s) + i;
                    float sum = 0;
                    for (int a = 0; a < net->threads; a++) sum += p->own[a][k].d_weight[tap * lanes(s) + o];
                    t.d_weight[((s.depthwise ? o : o * s.in + i) * kernel + r) * kernel + c] = sum;
                }
        if (s.bias) {
            t.d_bias[o] = 0;
            for (int a = 0; a < net->threads; a++) t.d_bias[o] += p->own[a][k].d_bias[o];
        }
    }
}

INLINE void head(const Net *net, Places *p, int thread, int from, int to, int images, const int64_t *labels,
                 float smoothing) {
    const Stage last = stages[STAGES - 1];
    const int all = lanes(last), k = STAGES - 1;
    float features[all], logits[CLASSES];
    float *d_head = p->d_head[thread], *d_bias = p->d_head_bias[thread];
    memset(d_head, 0, CLASSES * all * 4);
    memset(d_bias, 0, CLASSES * 4);
    double loss = 0;
    int64_t correct = 0;
    for (int n = from; n < to; n++) {
        const Given given = given_of(last, p, net, k, thread, n, 1);
        logits_of(last, given, net, features, logits);
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
            const float wanted = (c == label ? 1 - smoothing : 0) + smoothing / CLASSES;
            const float d = (expf(logits[c] - logits[best]) / total - wanted) / images;
            if (HEAD)
                for (int i = 0; i < last.out; i++) {
                    d_features[i] += d * net->head[c * last.out + i];
                    d_head[c * all + i] += d * features[i];
                }
            else d_features[c] = d;
            d_bias[c] += d;
        }
        elem *g = p->g[k] + n * g_size(last);
        for (int b = 0; b < all; b += LANES)
            for (int pixel = 0; pixel < last.out_h * last.out_w; pixel++)
                store(g + pixel * all + b, read(d_features + b) * (1.0f / (last.out_h * last.out_w)));
        norm_sums(last, given, g, p->own[thread][k]);
    }
    p->loss[thread][0] = loss;
    p->correct[thread][0] = correct;
}

static Places *places_of(const Net *net) {
    Places *p = net->arena;
    lay_out((char *)net->arena + (sizeof(Places) + 63) / 64 * 64, net->threads, p);
    return p;
}

#ifdef _OPENMP
#define MEET _Pragma("omp barrier")
#define THREAD omp_get_thread_num()
#else
#define MEET
#define THREAD 0
#endif

/* How many threads there are when so many are asked for. */
int netlet_team(int threads) {
    int found = 1;
#pragma omp parallel num_threads(threads)
#ifdef _OPENMP
    if (omp_get_thread_num() == 0) found = omp_get_num_threads();
#else
    (void)threads;
#endif
    return found;
}

/* Forward and backward over a batch.
 *
 * images: n c h w, normalised. labels: n. Gradients of the mean loss are written where `net` says, running statistics
 * moved, `loss` and `correct` set to the batch's mean and number.
 */
void netlet_step(Net *net, const float *images, const int64_t *labels, int n, float smoothing, uint64_t seed,
                 float *loss, int64_t *correct) {
    Places *p = places_of(net);
    const Stage first = stages[0];
#pragma omp parallel num_threads(net->threads)
    {
        const int thread = THREAD, from = share(n, thread, net->threads), to = share(n, thread + 1, net->threads);
#define BEGIN(k) begin_stage(STAGE_##k, net, p, k, thread);
        FOR_STAGES(BEGIN)
        for (int i = from; i < to; i++)
            read_image(first, images + (size_t)i * first.in * first.in_h * first.in_w, p->x[0] + i * x_size(first));
        MEET
#define FORWARD(k, before)                                                                                          \
        for (int i = from; i < to; i++) {                                                                           \
            pass_on_to_##k(net, p, thread, i, 1);                                                                   \
            convolve_##k(net, p, i, p->own[thread][k]);                                                             \
            if (STAGE_##k.dropout)                                                                                  \
                toss(STAGE_##k, p->kept[k] + i * (y_size(STAGE_##k) / LANES), seed + k, net->stage[k].dropout, i);  \
        }                                                                                                           \
        if (STAGE_##k.norm) {                                                                                       \
            MEET                                                                                                    \
            settle_norm(STAGE_##k, p, net, k, thread, n, 1);                                                        \
        }
        FOR_STAGES_AFTER(FORWARD)
        MEET /* all have read the sums, which now count something else */
#define CLEAR(k)                                                         \
        memset(p->own[thread][k].sum, 0, lanes(STAGE_##k) * 4);          \
        memset(p->own[thread][k].square, 0, lanes(STAGE_##k) * 4);
        FOR_STAGES(CLEAR)
        head(net, p, thread, from, to, n, labels, smoothing);
#define BACKWARD(k, before)                                              \
        if (STAGE_##k.norm) {                                            \
            MEET                                                         \
            settle_norm_gradient(STAGE_##k, p, net, k, thread, n);       \
        }                                                                \
        for (int i = from; i < to; i++) {                                \
            convolution_gradient_##k(net, p, thread, i);                 \
            weight_gradient_##k(p, thread, i);                           \
            if (k) {                                                     \
                input_gradient_##k(p, thread, i);                        \
                norm_sums_##before(net, p, thread, i);                   \
            }                                                            \
        }
        FOR_STAGES_BACKWARDS(BACKWARD)
        MEET
#define HAND_OVER(k) hand_over(STAGE_##k, net, p, k, thread);
        FOR_STAGES(HAND_OVER)
    }
    double total = 0;
    *correct = 0;
    for (int t = 0; t < net->threads; t++) total += p->loss[t][0], *correct += p->correct[t][0];
    *loss = (float)(total / n);
    const Stage last = stages[STAGES - 1];
    for (int c = 0; c < CLASSES && HEAD; c++) {
        for (int i = 0; i < last.out; i++) {
            net->d_head[c * last.out + i] = 0;
            for (int t = 0; t < net->threads; t++) net->d_head[c * last.out + i] += p->d_head[t][c * lanes(last) + i];
        }
        if (HEAD_BIAS) {
            net->d_head_bias[c] = 0;
            for (int t = 0; t < net->threads; t++) net->d_head_bias[c] += p->d_head_bias[t][c];
        }
    }
}

/* Logits, n CLASSES, of images, n c h w, normalised: evaluation, with running statistics and no dropout. */
void netlet_scores(Net *net, const float *images, int n, float *logits) {
    Places *p = places_of(net);
    const Stage first = stages[0];
#pragma omp parallel num_threads(net->threads)
    {
        const int thread = THREAD;
        FOR_STAGES(BEGIN)
#define SETTLE(k) settle_norm(STAGE_##k, p, net, k, thread, n, 0);
        FOR_STAGES(SETTLE)
        MEET
        for (int i = share(n, thread, net->threads); i < share(n, thread + 1, net->threads); i++) {
            read_image(first, images + (size_t)i * first.in * first.in_h * first.in_w, p->x[0] + thread * x_size(first));
#define SCORE(k, before)                                        \
            pass_on_to_##k(net, p, thread, thread, 0);          \
            convolve_##k(net, p, thread, p->own[thread][k]);
            FOR_STAGES_AFTER(SCORE)
            const Stage last = stages[STAGES - 1];
            float features[lanes(last)];
            logits_of(last, given_of(last, p, net, STAGES - 1, thread, thread, 0), net, features,
                      logits + (size_t)i * CLASSES);
        }
    }
}
