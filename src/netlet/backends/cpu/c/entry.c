/* What Python calls. */

#if TRAINING
/* Forward and backward pass over a batch.
 *
 * images: n c h w, normalized. labels: n. Writes the gradients of the mean loss to the tensors in
 * `net`, updates the running statistics, and sets `loss` to the mean loss and `correct` to the
 * number of correct predictions. teacher: logits n CLASSES, if the net has one.
 */
void netlet_step(Net *net, const float *images, const int64_t *labels, int n, float smoothing,
                 uint64_t seed, float *loss, int64_t *correct
#ifdef WITH_TEACHER
                 , const float *teacher, float soft_share, float temperature
#endif
) {
    Work work = {net, arena_of(net), images, labels, n, smoothing, seed, NULL};
#ifdef WITH_TEACHER
    work.soft = (SoftTarget){teacher, soft_share, temperature};
#endif
    run_phases(training_phase, &work, TRAINING_PHASES, net->threads, net->threads);
    reduce_loss(END, net, work.arena, n, loss, correct);
}
#endif

/* Logits, n CLASSES, of normalized images, n c h w, in evaluation mode: running statistics, no
 * dropout. */
void netlet_scores(Net *net, const float *images, int n, float *logits) {
    Work work = {net, arena_of(net), images, NULL, n, 0, 0, logits};
    run_phases(evaluation_phase, &work, EVALUATION_PHASES, net->threads, net->threads);
}
