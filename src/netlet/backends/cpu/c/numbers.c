/* Vector types and arithmetic.
 *
 * With HALF, tensors between layers hold bfloat16 and convolutions accumulate in float32, as under
 * torch.autocast. Without it, everything is float32.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline, unused))
#define UNROLLED _Pragma("GCC unroll 64")
#define ROLLED _Pragma("GCC unroll 1")
#define MAX_THREADS 64
/* Upper limit on the vectors in one tile. Tile sizes are compile-time constants, so that the
 * compiler keeps a tile's sums in registers. */
#define MAX_TILE 32

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t int_vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t uint_vec __attribute__((vector_size(4 * LANES), aligned(4)));

#if HALF
#define PAIR 2
typedef uint16_t elem;

INLINE vec load(const elem *p) {
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)),
                                  16);
}

INLINE void store(elem *p, vec v) {
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)v));
}

INLINE elem to_elem(float value) {
    return (elem)_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(value)), 0);
}

INLINE float from_elem(elem value) {
    const uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

/* a + w * x. Each lane of w holds a pair of bfloat16 numbers; x points to one pair used by all
 * lanes. */
INLINE vec mac(vec a, vec w, const void *x) {
    int32_t pair;
    memcpy(&pair, x, 4);
    return (vec)_mm512_dpbf16_ps((__m512)a, (__m512bh)w, (__m512bh)_mm512_set1_epi32(pair));
}

/* Put the lanes of two vectors side by side as pairs, the format of `w` in `mac`. */
INLINE vec interleave(vec first, vec second) {
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)first));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)second));
    return (vec)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
#else
#define PAIR 1
typedef float elem;
INLINE vec load(const elem *p) { return *(const vec *)p; }
INLINE void store(elem *p, vec v) { *(vec *)p = v; }
INLINE elem to_elem(float value) { return value; }
INLINE float from_elem(elem value) { return value; }
INLINE vec mac(vec a, vec w, const void *x) { return a + w * *(const float *)x; }
INLINE vec interleave(vec first, vec second) { return (void)second, first; } /* no pairs */
#endif

INLINE vec load_f32(const float *p) { return *(const vec *)p; }
/* Select a where mask is set, else b. */
INLINE vec blend(int_vec mask, vec a, vec b) {
    return (vec)(((int_vec)a & mask) | ((int_vec)b & ~mask));
}
/* v - v instead of 0 keeps NaN. */
INLINE vec relu_of(vec v) { return blend(v > 0.0f, v, v - v); }

/* Store the first n lanes, or all if n is larger. */
INLINE void store_partial(elem *p, vec v, int n) {
    if (n >= LANES) store(p, v);
#if !HALF && LANES == 16 && defined __AVX512F__
    else _mm512_mask_storeu_ps(p, (__mmask16)((1 << n) - 1), (__m512)v);
#elif !HALF && LANES == 8 && defined __AVX512VL__
    else _mm256_mask_storeu_ps(p, (__mmask8)((1 << n) - 1), (__m256)v);
#else
    else {
        elem all[LANES];
        store(all, v);
        memcpy(p, all, n * sizeof(elem));
    }
#endif
}
