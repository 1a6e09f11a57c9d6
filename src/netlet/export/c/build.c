typedef char netlet_needs_int_of_32_bits[sizeof(int) >= 4 ? 1 : -1];

/* Built for size (-Os), there is one copy of each function, and it computes one element at a time. Built for speed
   (-O3), each layer has its own copy, in which its sizes are constants and the sums of a few columns and LANES channels
   stay in vector registers. The vectors are an extension of C99 by GCC and Clang. */
#if defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)                                          \
    && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FAST 1
#define INLINE static inline __attribute__((always_inline))
#define COLUMNS(layer) ((layer)->columns)
#define MAX_COLUMNS NETLET_MAX_COLUMNS
#define WINDOW_BUFFER NETLET_WINDOW_BUFFER
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#else
#define FAST 0
#define INLINE static
#define COLUMNS(layer) 1
#define MAX_COLUMNS 1
#define WINDOW_BUFFER NETLET_WINDOW_SIZE
#define LANES 1
#endif
