typedef float element; /* of a feature map */
typedef float operand; /* of a gathered window */
typedef float weight;
typedef float sum;
#define PACK 1 /* weights of one channel stored side by side */
#define KEEP_IN_MEMORY(x)
/* Whether a window is read where it lies in the input. Where no layer gathers windows, the code for it is left out. */
#define DIRECT(layer) (!NETLET_GATHERS || (layer)->direct)
#if FAST
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
#define COLUMNS(layer) 1
#define MAX_COLUMNS 1
#define WINDOW_BUFFER NETLET_WINDOW_SIZE
#define LANES 1
#endif

/* The sizes of a layer. Feature maps are stored as H W C: rows, columns, channels. */
struct layer {
    int16_t height, width, channels; /* of the input */
    int16_t out_height, out_width, out_channels;
    int16_t window_height, window_width, stride_y, stride_x, top, left, dilation_y, dilation_x, groups;
    int16_t padded, count_include_pad;
    int16_t columns; /* computed at once */
    int16_t direct;  /* whether a window is contiguous in the input */
    float low, high;
};
#define PAD_VALUE(layer) 0.0F /* of padding */
