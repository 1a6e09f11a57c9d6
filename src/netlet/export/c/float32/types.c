typedef float element; /* of a feature map */
typedef float weight;
typedef float sum;
#define PACK 1 /* weights of one channel stored side by side */

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
