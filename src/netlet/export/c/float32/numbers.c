typedef float number; /* of a map */
typedef float weight;
typedef float sum;
#define PACK 1 /* weights of one channel that lie side by side */

/* The sizes of a layer; a map of H rows, W columns and C channels lies as H W C. */
struct layer {
    int16_t height, width, channels;          /* of the map it reads */
    int16_t out_height, out_width, out_channels;
    int16_t window_height, window_width, stride_y, stride_x, top, left, dilation_y, dilation_x, groups;
    int16_t padded, counts_padding;
    int16_t columns; /* that are computed at once */
    int16_t direct;  /* whether a window's numbers lie side by side in the map */
    float low, high;
};
#define BLANK(layer) 0.0F /* what padding holds */
