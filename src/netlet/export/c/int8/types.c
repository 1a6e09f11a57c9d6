typedef uint8_t element; /* of a feature map; the real number is (element - zero_point) * scale */
typedef int8_t weight;
typedef int32_t sum;
#define PACK 4 /* weights of one channel stored side by side */

/* How products are added: by AVX-512's instruction for four rows of bytes; by SSE2's and AVX2's for two rows of 16-bit
   numbers, to which gathered windows are extended; by that of Arm's DSP extension; or one by one. */
#if SIMD && defined(__AVX512VNNI__) && defined(__AVX512VL__) && !defined(__clang__)
#define VNNI 1
#else
#define VNNI 0
#endif
#if SIMD && defined(__SSE2__) && !VNNI
#define PAIRS 1
typedef int16_t operand; /* of a gathered window */
#else
#define PAIRS 0
typedef uint8_t operand;
#endif
#if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__) && !defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#define DSP 1
#else
#define DSP 0
#endif
/* GCC would keep a window in general registers, and take its numbers from them by shifts. */
#if SIMD
#define KEEP_IN_MEMORY(x) __asm__ volatile("" : : "r"(x) : "memory");
#else
#define KEEP_IN_MEMORY(x)
#endif
/* Whether a window is read where it lies in the input. Where no layer gathers windows, the code for it is left out. */
#define DIRECT(layer) (!PAIRS && (!NETLET_GATHERS || (layer)->direct))
#if SIMD
#define COLUMNS(layer) ((layer)->columns)
#define MAX_COLUMNS NETLET_MAX_COLUMNS
#define WINDOW_BUFFER (PAIRS ? NETLET_OPERANDS : NETLET_WINDOW_BUFFER)
#if VNNI
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#elif FAST
#define COLUMNS(layer) ((layer)->columns > 1 ? 2 : 1)
#define MAX_COLUMNS 2
#define WINDOW_BUFFER (2 * NETLET_WINDOW_SIZE)
#define LANES 2
#else
#define COLUMNS(layer) 1
#define MAX_COLUMNS 1
#define WINDOW_BUFFER NETLET_WINDOW_SIZE
#define LANES 2
#endif

/* The sizes of a layer. Feature maps are stored as H W C: rows, columns, channels. */
struct layer {
    int16_t height, width, channels; /* of the input */
    int16_t out_height, out_width, out_channels;
    int16_t window_height, window_width, stride_y, stride_x, top, left, dilation_y, dilation_x, groups;
    int16_t padded, count_include_pad;
    int16_t columns;    /* computed at once */
    int16_t direct;     /* whether a window is contiguous in the input */
    int16_t pad_value;  /* of padding: the zero point of the input */
    int16_t zero_point; /* of the output */
    int16_t low, high;
    int16_t shift;        /* of sums or products */
    int16_t int32_output; /* whether the output is int32_t */
};
#define PAD_VALUE(layer) ((element)(layer)->pad_value)
