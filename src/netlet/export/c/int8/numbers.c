typedef uint8_t number; /* of a map: a real number is (number - zero) * the map's scale */
typedef int8_t weight;
typedef int32_t sum;
#define PACK 4 /* weights of one channel that lie side by side */

/* The sizes of a layer; a map of H rows, W columns and C channels lies as H W C. */
struct layer {
    int16_t height, width, channels;          /* of the map it reads */
    int16_t out_height, out_width, out_channels;
    int16_t window_height, window_width, stride_y, stride_x, top, left, dilation_y, dilation_x, groups;
    int16_t padded, counts_padding;
    int16_t columns; /* that are computed at once */
    int16_t direct;  /* whether a window's numbers lie side by side in the map */
    int16_t blank;   /* what padding holds: the zero of the map it reads */
    int16_t zero;    /* of the map it gives */
    int16_t low, high;
    int16_t shift; /* sums are multiplied, then divided by two to this */
    int16_t wide;  /* whether it gives int32_t */
};
#define BLANK(layer) ((number)(layer)->blank)
