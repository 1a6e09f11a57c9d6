/* The loss of a net that is trained on the logits of a teacher. */

/* What the teacher says: its logits, their share of the loss, and the temperature. */
typedef struct {
    const float *logits;
    float share, temperature;
} SoftTarget;

/* What it says of image i, of all images. */
INLINE SoftTarget soft_target(SoftTarget all, int i) {
    return (SoftTarget){all.logits + (size_t)i * CLASSES, all.share, all.temperature};
}

/* Let the loss of one image and the gradient of its logits be a mixture with the divergence from
 * the teacher's probabilities at the temperature T, times T^2. */
INLINE void mix_in_teacher(SoftTarget soft, const float *logits, float hard, int images,
                           double *loss, float *d_logits) {
    const float scale = 1 / soft.temperature;
    float best = logits[0], best_soft = soft.logits[0], total = 0, total_soft = 0, divergence = 0;
    for (int c = 1; c < CLASSES; c++) {
        best = fmaxf(best, logits[c]);
        best_soft = fmaxf(best_soft, soft.logits[c]);
    }
    for (int c = 0; c < CLASSES; c++) {
        total += expf((logits[c] - best) * scale);
        total_soft += expf((soft.logits[c] - best_soft) * scale);
    }
    for (int c = 0; c < CLASSES; c++) {
        const float log_p = (logits[c] - best) * scale - logf(total);
        const float log_q = (soft.logits[c] - best_soft) * scale - logf(total_soft);
        divergence += expf(log_q) * (log_q - log_p);
        d_logits[c] = (1 - soft.share) * d_logits[c] +
                      soft.share * soft.temperature * (expf(log_p) - expf(log_q)) / images;
    }
    *loss += soft.share * (soft.temperature * soft.temperature * divergence - hard);
}
#define SOFT_PARAMETER , SoftTarget soft
