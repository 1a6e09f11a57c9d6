/* What Python calls. */

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
#pragma omp parallel num_threads(net->threads)
    {
        const int thread = THREAD, from = split_start(n, thread, net->threads),
                  to = split_start(n, thread + 1, net->threads);
        init(net, arena, thread);
        pack_images(arena, images, from, to, from);
        BARRIER;
        forward(net, arena, thread, from, to, n, seed);
        BARRIER; /* all threads have read the sums, which are used for others from here on */
        clear_forward_sums(arena, thread);
        clear_loss(arena, thread);
        for (int i = from; i < to; i++)
            loss_of_end(net, arena, thread, i, (int)labels[i], smoothing, n);
        backward(net, arena, thread, from, to, n);
        BARRIER;
        reduce(net, arena, thread);
    }
    reduce_loss(END, net, arena, n, loss, correct);
}
#endif

/* Logits, n CLASSES, of normalized images, n c h w, in evaluation mode: running statistics, no
 * dropout. */
void netlet_scores(Net *net, const float *images, int n, float *logits) {
    Arena *arena = arena_of(net);
#pragma omp parallel num_threads(net->threads)
    {
        const int thread = THREAD, from = split_start(n, thread, net->threads),
                  to = split_start(n, thread + 1, net->threads);
        init(net, arena, thread);
        prepare_evaluation(net, arena, thread);
        BARRIER;
        evaluate(net, arena, images, thread, from, to, logits);
    }
}
