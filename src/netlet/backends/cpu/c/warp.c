/* Select images from a data set, warp and normalize them: uint8 to float, n c h w.
 *
 * `ops` affine maps are applied to each image, one after the other. A map goes from output pixel to
 * input pixel, both measured from the center, and may have an elastic displacement on a grid of
 * points. Warps read bytes, so every map but the last must use nearest-neighbor interpolation.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define HALF_UP 1.4e-6f /* rounds exact halves up, as image libraries do */

typedef struct {
    int nearest, fill; /* nearest-neighbor instead of bilinear; gray level outside the image */
    int points;        /* of a side of the elastic grid; 0: no displacement */
    const float *row_weights;   /* h points: spline weights of the grid's points for each row */
    const float *col_weights;   /* w points, likewise for each column */
    const float *maps;          /* n 2 3 */
    const float *displacements; /* n 2 points points, in pixels */
} WarpOp;

/* Pack the 2x2 pixels whose upper left one is (x, y), from (-2, -2) to (w, h), into one number
 * each, so that bilinear interpolation needs one load. */
static void pack_corners(const uint8_t *image, int h, int w, int fill, uint8_t *padded,
                         uint32_t *corners) {
    const int width = w + 4, per_row = w + 3;
    memset(padded, fill, (size_t)(h + 4) * width);
    for (int y = 0; y < h; y++) memcpy(padded + (y + 2) * width + 2, image + y * w, w);
    for (int y = 0; y < h + 3; y++) {
        const uint8_t *top = padded + y * width, *below = top + width;
        for (int x = 0; x < per_row; x++)
            corners[y * per_row + x] =
                top[x] | top[x + 1] << 8 | below[x] << 16 | (uint32_t)below[x + 1] << 24;
    }
}

static inline float clamp(float v, float low, float high) {
    return v < low ? low : v > high ? high : v;
}

/* Interpolate an image's displacements from the grid to all pixels: 2 h w, x and y, in pixels. */
static void elastic_displacement(const WarpOp *op, int image, int h, int w, float *out) {
    const int p = op->points;
    for (int axis = 0; axis < 2; axis++)
        for (int y = 0; y < h; y++) {
            float line[p], *to = out + (axis * h + y) * w;
            const float *grid = op->displacements + ((int64_t)image * 2 + axis) * p * p;
            for (int j = 0; j < p; j++) {
                line[j] = 0;
                for (int i = 0; i < p; i++) line[j] += op->row_weights[y * p + i] * grid[i * p + j];
            }
            for (int x = 0; x < w; x++) {
                to[x] = 0;
                for (int j = 0; j < p; j++) to[x] += op->col_weights[x * p + j] * line[j];
            }
        }
}

/* Warp one plane by one map; gray levels 0 to 255. */
static inline __attribute__((always_inline)) void warp_plane(const uint32_t *corners,
                                                             const float *map,
                                                             const float *displacement, int nearest,
                                                             int h, int w, float *out) {
    const int per_row = w + 3;
    const float mid_x = (w - 1) / 2.0f, mid_y = (h - 1) / 2.0f;
    for (int y = 0; y < h; y++) {
        const float dy = y - mid_y;
        const float row_x = map[1] * dy + map[2] + mid_x, row_y = map[4] * dy + map[5] + mid_y;
        for (int x = 0; x < w; x += LANES) {
            float lane[LANES]; /* full vectors; the last one may reach beyond the row */
            for (int i = 0; i < LANES; i++) {
                const float dx = x + i - mid_x;
                float sx = map[0] * dx + row_x, sy = map[3] * dx + row_y;
                if (displacement)
                    sx += displacement[y * w + x + i], sy += displacement[(h + y) * w + x + i];
                sx = clamp(sx, -2, w), sy = clamp(sy, -2, h);
                if (nearest)
                    sx = floorf(clamp(sx + 0.5f + HALF_UP, -2, w)),
                    sy = floorf(clamp(sy + 0.5f + HALF_UP, -2, h));
                const float left = floorf(sx), top = floorf(sy), frac_x = sx - left,
                            frac_y = sy - top;
                const uint32_t packed = corners[((int)top + 2) * per_row + (int)left + 2];
                const float a = (float)(int)(packed & 255), b = (float)(int)(packed >> 8 & 255);
                const float c = (float)(int)(packed >> 16 & 255), d = (float)(int)(packed >> 24);
                const float above = a + frac_x * (b - a), below = c + frac_x * (d - c);
                lane[i] = nearest ? a : above + frac_y * (below - above);
            }
            const int n = w - x < LANES ? w - x : LANES;
            memcpy(out + y * w + x, lane, n * sizeof(float));
        }
    }
}

typedef struct {
    const uint8_t *images;
    const int64_t *index;
    int n, channels, h, w, ops;
    const WarpOp *op;
    float mean, std, *out;
    int shares;
} Warp;

/* Warp one share of the images. */
static void warp_share(void *work, int phase, int share) {
    const Warp *a = work;
    const WarpOp *op = a->op;
    const int h = a->h, w = a->w, size = h * w;
    (void)phase;
    uint8_t padded[(h + 4) * (w + 4)], bytes[size];
    uint32_t corners[(h + 4) * (w + 4)];
    /* Read in full vectors; the last one reaches beyond the end. */
    float displacement[2 * size + LANES];
    memset(displacement + 2 * size, 0, LANES * sizeof(float));
    const int first = (int)((int64_t)a->n * share / a->shares),
              end = (int)((int64_t)a->n * (share + 1) / a->shares);
    for (int i = first; i < end; i++)
        for (int c = 0; c < a->channels; c++) {
            float *to = a->out + ((int64_t)i * a->channels + c) * size;
            const uint8_t *from = a->images + (a->index[i] * a->channels + c) * size;
            for (int k = 0; k < a->ops; k++) {
                if (k) {
                    for (int p = 0; p < size; p++) bytes[p] = (uint8_t)to[p];
                    from = bytes;
                }
                pack_corners(from, h, w, op[k].fill, padded, corners);
                const float *map = op[k].maps + (int64_t)i * 6;
                if (op[k].points) elastic_displacement(op + k, i, h, w, displacement);
                /* Constant arguments, so that the inner loops have no branches. */
                if (op[k].nearest)
                    warp_plane(corners, map, op[k].points ? displacement : NULL, 1, h, w, to);
                else if (op[k].points) warp_plane(corners, map, displacement, 0, h, w, to);
                else warp_plane(corners, map, NULL, 0, h, w, to);
            }
            if (!a->ops)
                for (int p = 0; p < size; p++) to[p] = from[p];
            for (int p = 0; p < size; p++) to[p] = (to[p] / 255 - a->mean) / a->std;
        }
}

void netlet_warp(const uint8_t *images, const int64_t *index, int n, int channels, int h, int w,
                 int ops, const WarpOp *op, float mean, float std, float *out, int threads) {
    /* More shares than threads, so that none waits long for another. */
    const int shares = threads == 1 ? 1 : 4 * threads;
    Warp work = {images, index, n, channels, h, w, ops, op, mean, std, out, shares};
    run_phases(warp_share, &work, 1, shares, threads);
}
