/* Vectors of numbers: float, or bfloat16 where HALF, as under torch.autocast: what convolutions read is bfloat16, what
 * they sum is float.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#define LANES 16
#define INLINE static inline __attribute__((always_inline))
#define ALONE __attribute__((noinline, unused))
#define UNROLLED _Pragma("GCC unroll 64")
#define ROLLED _Pragma("GCC unroll 1")
#define MAX_THREADS 64
#define MOST 32                  /* vectors that any machine has registers for; sizes must be literals to stay in them */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t bits __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4)));

#if HALF
#define PAIR 2
typedef uint16_t elem;

INLINE vec load(const elem *p) {
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16);
}

INLINE void store(elem *p, vec v) {
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)v));
}

INLINE elem narrowed(float value) {
    return (elem)_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(value)), 0);
}

/* a + w * x, each lane of w holding a pair of numbers, x pointing to a pair that all lanes share. */
INLINE vec mac(vec a, vec w, const void *x) {
    int32_t pair;
    memcpy(&pair, x, 4);
    return (vec)_mm512_dpbf16_ps((__m512)a, (__m512bh)w, (__m512bh)_mm512_set1_epi32(pair));
}

/* Two neighbours' lanes side by side: what `mac` takes for w. */
INLINE vec paired(vec first, vec second) {
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)first));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)second));
    return (vec)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
#else
#define PAIR 1
typedef float elem;
INLINE vec load(const elem *p) { return *(const vec *)p; }
INLINE void store(elem *p, vec v) { *(vec *)p = v; }
INLINE elem narrowed(float value) { return value; }
INLINE vec mac(vec a, vec w, const void *x) { return a + w * *(const float *)x; }
#endif

INLINE vec read(const float *p) { return *(const vec *)p; }
INLINE vec chosen(bits mask, vec a, vec b) { return (vec)(((bits)a & mask) | ((bits)b & ~mask)); }
INLINE vec positive(vec v) { return chosen(v > 0.0f, v, v - v); }
