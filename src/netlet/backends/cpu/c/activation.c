/* What follows a convolution, forward and back: ReLU, batch norm, dropout, ReLU, 2x2 max pooling. */
/* A vector's share of the dice: which lanes dropout keeps. */
INLINE uint16_t tossed(uint64_t seed, uint32_t counter, uint32_t dropped) {
    words r;
    UNROLLED for (int i = 0; i < LANES; i++) r[i] = (uint32_t)i * 0x9e3779b9u;
    r ^= (counter + (uint32_t)seed) * 0x85ebca6bu + (uint32_t)(seed >> 32);
    r = (r ^ (r >> 16)) * 0x7feb352du; /* the mixing of hash-prospector's lowbias32 */
    r = (r ^ (r >> 15)) * 0x846ca68bu;
    r ^= r >> 16;
    bits keep = (bits)(r >= dropped);
#ifdef __AVX512DQ__
    return (uint16_t)_mm512_movepi32_mask((__m512i)keep);
#else
    uint16_t mask = 0;
    for (int i = 0; i < LANES; i++) mask |= (uint16_t)((keep[i] & 1) << i);
    return mask;
#endif
}

INLINE bits spread(uint16_t mask) {
#ifdef __AVX512DQ__
    return (bits)_mm512_movm_epi32(mask);
#else
    bits lane, all = {0};
    UNROLLED for (int i = 0; i < LANES; i++) lane[i] = 1 << i;
    return ((all + mask) & lane) != 0;
#endif
}

/* What the convolution gave to what the pooling gets. */
INLINE vec activated(Stage s, vec y, vec scale, vec shift, bits kept, float amends) {
    if (s.relu_first) y = positive(y);
    if (s.norm) y = y * scale + shift;
    if (s.dropout) y = chosen(kept, y * amends, y - y);
    return s.relu ? positive(y) : y;
}

typedef struct { const elem *y; const float *scale, *shift; const uint16_t *kept; float amends; } Given;

INLINE vec activated_at(Stage s, Given given, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    return activated(s, load(given.y + at), read(given.scale + b * LANES), read(given.shift + b * LANES),
                     s.dropout && given.kept ? spread(given.kept[at / LANES]) : (bits){0} - 1, given.amends);
}

INLINE vec larger(vec a, vec b) { return chosen(b > a, b, a); }

INLINE vec leaving(Stage s, Given given, int h, int w, int b) {
    if (!s.pool) return activated_at(s, given, h * s.w + w, b);
    const int corner = 2 * h * s.w + 2 * w;
    return larger(larger(activated_at(s, given, corner, b), activated_at(s, given, corner + 1, b)),
                  larger(activated_at(s, given, corner + s.w, b), activated_at(s, given, corner + s.w + 1, b)));
}

/* The gradient of what leaves one image's stage, brought back through pooling, ReLU and dropout. */
INLINE vec gated(Stage s, Given given, vec g, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    if (s.relu) g = chosen(activated_at(s, given, pixel, b) > 0.0f, g, g - g);
    if (s.dropout) g = chosen(spread(given.kept[at / LANES]), g * given.amends, g - g);
    return g;
}

INLINE void scatter(Stage s, Given given, const elem *g, float *dz) {
    ROLLED for (int h = 0; h < s.out_h; h++)
        ROLLED for (int w = 0; w < s.out_w; w++)
            ROLLED for (int b = 0; b < lanes(s) / LANES; b++) {
                const vec whole = load(g + (h * s.out_w + w) * lanes(s) + b * LANES);
                const vec top = leaving(s, given, h, w, b);
                bits taken = {0};
                UNROLLED for (int i = 0; i < 4; i++) { /* the first of the largest takes it all, as in torch */
                    const int pixel = (2 * h + i / 2) * s.w + 2 * w + i % 2;
                    const bits hit = (activated_at(s, given, pixel, b) == top) & ~taken;
                    taken |= hit;
                    *(vec *)(dz + pixel * lanes(s) + b * LANES) =
                        chosen(hit, gated(s, given, whole, pixel, b), whole - whole);
                }
            }
}

INLINE vec dz_at(Stage s, Given given, const elem *g, const float *dz, int pixel, int b) {
    const int at = pixel * lanes(s) + b * LANES;
    return s.pool ? read(dz + at) : gated(s, given, load(g + at), pixel, b);
}

INLINE vec normal_input(Stage s, const elem *y) { return s.relu_first ? positive(load(y)) : load(y); }

/* Adds one image's part of what batch norm's gradient needs of the whole batch. */
INLINE void norm_sums(Stage s, Given given, const elem *g, Own own) {
    if (!s.norm) return;
    if (s.pool) scatter(s, given, g, own.dz);
    ROLLED for (int b = 0; b < lanes(s) / LANES; b++) {
        vec sum = {0}, with_y = {0}, centre = read(own.centre + b * LANES);
        ROLLED for (int pixel = 0; pixel < s.h * s.w; pixel++) {
            const vec dz = dz_at(s, given, g, own.dz, pixel, b);
            sum += dz;
            with_y += dz * (normal_input(s, given.y + pixel * lanes(s) + b * LANES) - centre);
        }
        *(vec *)(own.sum + b * LANES) += sum;
        *(vec *)(own.square + b * LANES) += with_y * read(own.inverse + b * LANES);
    }
}

INLINE vec dy_at(Stage s, Given given, const elem *g, Own own, int pixel, int b) {
    vec d = dz_at(s, given, g, own.dz, pixel, b);
    if (!s.norm) return d;
    const vec y = load(given.y + pixel * lanes(s) + b * LANES);
    const vec normal = ((s.relu_first ? positive(y) : y) - read(own.centre + b * LANES)) * read(own.inverse + b * LANES);
    d = read(own.gain + b * LANES) * (d - read(own.mean_dz + b * LANES) - normal * read(own.mean_dzy + b * LANES));
    return s.relu_first ? chosen(y > 0.0f, d, d - d) : d;
}

INLINE void store_some(elem *p, vec v, int n) {
    if (n >= LANES) store(p, v);
    else {
        elem all[LANES];
        store(all, v);
        memcpy(p, all, n * sizeof(elem));
    }
}

/* One image's gradient of what the convolution gave, as both of its gradients want to read it. */
INLINE void convolution_gradient(Stage s, Given given, const elem *g, Own own, int with_input) {
    if (s.pool) scatter(s, given, g, own.dz);
    const int all = lanes(s), edge = s.kernel - 1 - s.padding;
    ROLLED for (int b = 0; b < all / LANES; b++) {
        vec bias = {0};
        ROLLED for (int h = 0; h < s.h; h++)
            ROLLED for (int w = 0; w < s.w; w += PAIR) {
                vec d[PAIR];
                UNROLLED for (int i = 0; i < PAIR; i++) {
                    d[i] = w + i < s.w ? dy_at(s, given, g, own, h * s.w + w + i, b) : (vec){0};
                    if (s.bias) bias += d[i];
                    if (with_input && w + i < s.w)
                        store_some(own.dy + (edge + h * s.stride) * back_row(s)
                                   + (edge + (w + i) * s.stride) * back_pitch(s) + b * LANES,
                                   d[i], back_pitch(s) - b * LANES);
                }
#if HALF
                *(vec *)(own.dy_pairs + (h * pairs(s) + w / PAIR) * all + b * LANES) = paired(d[0], d[1]);
#else
                *(vec *)(own.dy_pairs + (h * s.w + w) * all + b * LANES) = d[0];
#endif
            }
        if (s.bias) *(vec *)(own.d_bias + b * LANES) += bias;
    }
}
