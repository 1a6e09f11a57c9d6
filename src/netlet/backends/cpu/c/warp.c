/* Images picked from a set, moved, and normalised: n c h w, float, from bytes.
 *
 * Each image has `ops` affine maps from output pixel to input pixel, both measured from the centre, done one after the
 * other; a map may be bent by a grid of points that move. Bytes are all that can be moved: every map but the last must
 * be to the nearest pixel.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#define LANES 16
#define NUDGE 1.4e-6f /* exact halves go up, as image libraries have it */

typedef struct {
    int nearest, fill, points;
    const float *down, *across;  /* h points, w points: what each point of a line counts for */
    const float *maps, *moves;   /* n 2 3, n 2 points points */
} Op;

/* The four bytes whose corner lies at (x, y), from (-2, -2) to (w, h), as one number: one load fetches all. */
static void four_at_once(const uint8_t *image, int h, int w, int fill, uint8_t *padded, uint32_t *fours) {
    const int wide = w + 4, across = w + 3;
    memset(padded, fill, (size_t)(h + 4) * wide);
    for (int y = 0; y < h; y++) memcpy(padded + (y + 2) * wide + 2, image + y * w, w);
    for (int y = 0; y < h + 3; y++) {
        const uint8_t *top = padded + y * wide, *below = top + wide;
        for (int x = 0; x < across; x++)
            fours[y * across + x] = top[x] | top[x + 1] << 8 | below[x] << 16 | (uint32_t)below[x + 1] << 24;
    }
}

static inline float clamp(float v, float low, float high) { return v < low ? low : v > high ? high : v; }

/* By how much each pixel of an image is displaced, 2 h w. */
static void bend(const Op *op, int image, int h, int w, float *displaced) {
    const int p = op->points;
    for (int axis = 0; axis < 2; axis++)
        for (int y = 0; y < h; y++) {
            float line[p], *to = displaced + (axis * h + y) * w;
            const float *moves = op->moves + ((int64_t)image * 2 + axis) * p * p;
            for (int j = 0; j < p; j++) {
                line[j] = 0;
                for (int i = 0; i < p; i++) line[j] += op->down[y * p + i] * moves[i * p + j];
            }
            for (int x = 0; x < w; x++) {
                to[x] = 0;
                for (int j = 0; j < p; j++) to[x] += op->across[x * p + j] * line[j];
            }
        }
}

/* One plane through one map; grey levels 0 to 255. */
static inline __attribute__((always_inline)) void move(const uint32_t *fours, const float *map, const float *bent,
                                                       int nearest, int h, int w, float *out) {
    const int across = w + 3;
    const float mid_x = (w - 1) / 2.0f, mid_y = (h - 1) / 2.0f;
    for (int y = 0; y < h; y++) {
        const float down = y - mid_y;
        const float row_x = map[1] * down + map[2] + mid_x, row_y = map[4] * down + map[5] + mid_y;
        for (int x = 0; x < w; x += LANES) {
            float lane[LANES]; /* whole vectors, the last one beyond the edge */
            for (int i = 0; i < LANES; i++) {
                const float right = x + i - mid_x;
                float sx = map[0] * right + row_x, sy = map[3] * right + row_y;
                if (bent) sx += bent[y * w + x + i], sy += bent[(h + y) * w + x + i];
                sx = clamp(sx, -2, w), sy = clamp(sy, -2, h);
                if (nearest) sx = floorf(clamp(sx + 0.5f + NUDGE, -2, w)), sy = floorf(clamp(sy + 0.5f + NUDGE, -2, h));
                const float left = floorf(sx), top = floorf(sy), part_x = sx - left, part_y = sy - top;
                const uint32_t four = fours[((int)top + 2) * across + (int)left + 2];
                const float a = (float)(int)(four & 255), b = (float)(int)(four >> 8 & 255);
                const float c = (float)(int)(four >> 16 & 255), d = (float)(int)(four >> 24);
                const float above = a + part_x * (b - a), below = c + part_x * (d - c);
                lane[i] = nearest ? a : above + part_y * (below - above);
            }
            const int n = w - x < LANES ? w - x : LANES;
            memcpy(out + y * w + x, lane, n * sizeof(float));
        }
    }
}

void netlet_warp(const uint8_t *images, const int64_t *index, int n, int channels, int h, int w, int ops, const Op *op,
                 float mean, float std, float *out, int threads) {
    const int size = h * w;
#pragma omp parallel num_threads(threads)
    {
        uint8_t padded[(h + 4) * (w + 4)], bytes[size];
        uint32_t fours[(h + 4) * (w + 4)];
        float bent[2 * size + LANES]; /* whole vectors, the last one beyond the edge */
        memset(bent + 2 * size, 0, LANES * sizeof(float));
#pragma omp for schedule(static)
        for (int i = 0; i < n; i++)
            for (int c = 0; c < channels; c++) {
                float *to = out + ((int64_t)i * channels + c) * size;
                const uint8_t *from = images + (index[i] * channels + c) * size;
                for (int k = 0; k < ops; k++) {
                    if (k) {
                        for (int p = 0; p < size; p++) bytes[p] = (uint8_t)to[p];
                        from = bytes;
                    }
                    four_at_once(from, h, w, op[k].fill, padded, fours);
                    const float *map = op[k].maps + (int64_t)i * 6;
                    if (op[k].points) bend(op + k, i, h, w, bent);
                    /* Constants: no choice is left in the loop. */
                    if (op[k].nearest) move(fours, map, op[k].points ? bent : NULL, 1, h, w, to);
                    else if (op[k].points) move(fours, map, bent, 0, h, w, to);
                    else move(fours, map, NULL, 0, h, w, to);
                }
                if (!ops)
                    for (int p = 0; p < size; p++) to[p] = from[p];
                for (int p = 0; p < size; p++) to[p] = (to[p] / 255 - mean) / std;
            }
    }
}
