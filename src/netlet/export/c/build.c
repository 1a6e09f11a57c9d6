typedef char netlet_needs_int_of_32_bits[sizeof(int) >= 4 ? 1 : -1];

/* Built for size there is one copy of each function, and it does one number at a time. Built for speed each layer has a
   copy of its own, in which its sizes are constants and the sums of a few columns and LANES channels stay in registers:
   that takes vectors, which GCC and Clang have beyond C99. */
#if defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__) \
    && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FAST 1
#define INLINE static inline __attribute__((always_inline))
#define COLUMNS(layer) ((layer)->columns)
#define MOST_COLUMNS NETLET_COLUMNS
#define WINDOWS NETLET_WINDOWS
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
#define MOST_COLUMNS 1
#define WINDOWS NETLET_WINDOW
#define LANES 1
#endif
