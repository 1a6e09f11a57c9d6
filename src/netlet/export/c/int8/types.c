typedef uint8_t element; /* of a feature map; the real number is (element - zero_point) * scale */
typedef int8_t weight;
typedef int32_t sum;
#define PACK 4 /* weights of one channel stored side by side */

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
    int16_t shift;        /* sums are multiplied, then divided by 2^shift */
    int16_t int32_output; /* whether the output is int32_t */
};
#define PAD_VALUE(layer) ((element)(layer)->pad_value)
