typedef char netlet_needs_int_of_32_bits[sizeof(int) >= 4 ? 1 : -1];

/* Built for size (-Os), there is one copy of each function, which computes one or two elements at a time. Built for
   speed (-O3), each layer has its own copy, in which its sizes are constants and the sums of a few columns and LANES
   channels stay in registers; with SIMD, in vector registers. The vectors are an extension of C99 by GCC and Clang. */
#if defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)                                          \
    && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FAST 1
#define INLINE static inline __attribute__((always_inline, unused))
#else
#define FAST 0
#define INLINE static
#endif
#if FAST && (defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__) || defined(__riscv_vector))
#define SIMD 1
#else
#define SIMD 0
#endif
