/* The operations of a net, the sizes of their feature maps, and the memory layout.
 *
 * Feature maps are stored as N H W C. Each operation's output has its channels rounded up to a
 * multiple of LANES, a convolution's input to a multiple of PAIR.
 *
 * Names: x is a convolution's input, y its output, v an output that is kept, g the gradient of an
 * operation's output, dz the gradient of the batch norm's output, dy the gradient of y.
 */

/* Convolution, ReLU, batch norm, dropout, ReLU, 2x2 max pooling; all but the first are optional. A
 * linear layer is a convolution of a 1x1 map, whose channels are all numbers that it reads. */
typedef struct {
    int in, in_h, in_w; /* channels, height and width of the input */
    int out, h, w;      /* channels, height and width of the convolution's output */
    int kernel_h, kernel_w, taps_h, taps_w; /* window with the gaps of dilation; its weights */
    int stride_h, stride_w, dilation_h, dilation_w;
    int top, left, bottom, right; /* zero padding */
    int groups, depthwise;
    int kernels; /* of a depthwise convolution: output channel o has kernel o % kernels */
    int linear;
    int map_channels; /* linear: channels of the map that it reads */
    int bias, relu_first, norm, dropout, relu, pool;
    int out_h, out_w; /* size of the stage's output, after pooling */
    /* Tile of the forward pass: the output pixels and vectors of channels summed in registers. */
    int rows, cols, blocks;
    /* Tile of the input's gradient. */
    int back_rows, back_cols, back_blocks;
    /* Tile of the weights' gradient: kernel rows, elements of a kernel row, vectors. */
    int grad_rows, grad_cols, grad_blocks;
} Stage;

/* Pointers to the PyTorch tensors of one operation; NULL for a tensor that it does not have. The
 * flags: add to a gradient that another operation with the same tensor has written. */
typedef struct {
    float *weight, *bias, *gamma, *beta, *mean, *var;
    float *d_weight, *d_bias, *d_gamma, *d_beta;
    float epsilon, momentum, dropout;
    int add_weight, add_bias, add_gamma, add_beta;
} Tensors;

typedef struct {
    Tensors op[OPS];
    float *head, *head_bias, *d_head, *d_head_bias;
    void *memory; /* netlet_arena_size() bytes, aligned to 64 */
    int threads;
} Net;

INLINE int smaller(int a, int b) { return a < b ? a : b; }
INLINE int round_up(int n, int to) { return (n + to - 1) / to * to; }

/* Numbers from one pixel to the next: of the input, and of the convolution's output. */
INLINE int pitch(Stage s) { return round_up(s.in, PAIR); }
INLINE int lanes(Stage s) { return round_up(s.out, LANES); }

/* Sizes in numbers: a padded row of the input; one image's x, y and g; all weights. */
INLINE int padded_h(Stage s) { return s.in_h + s.top + s.bottom; }
INLINE int padded_w(Stage s) { return s.in_w + s.left + s.right; }
INLINE int x_row(Stage s) { return padded_w(s) * pitch(s); }
INLINE size_t x_size(Stage s) { return (size_t)padded_h(s) * x_row(s); }
INLINE size_t y_size(Stage s) { return (size_t)s.h * s.w * lanes(s); }
INLINE int kernel_row(Stage s) { return round_up(s.kernel_w * pitch(s), PAIR); }
INLINE size_t w_size(Stage s) { return (size_t)s.kernel_h * kernel_row(s) * lanes(s); }

/* The same for the input's gradient, whose convolution reads dy. */
INLINE int back_pitch(Stage s) { return round_up(s.out, PAIR); }
INLINE int back_row(Stage s) { return (s.in_w + s.kernel_w - 1) * back_pitch(s); }
INLINE size_t back_size(Stage s) { return (size_t)(s.in_h + s.kernel_h - 1) * back_row(s); }
INLINE int back_kernel_row(Stage s) { return s.kernel_w * back_pitch(s); }
INLINE int back_lanes(Stage s) { return round_up(s.in, LANES); }
INLINE size_t back_w_size(Stage s) {
    return (size_t)s.kernel_h * back_kernel_row(s) * back_lanes(s);
}

/* Pairs of neighboring pixels in a row of the output. */
INLINE int pixel_pairs(Stage s) { return (s.w + PAIR - 1) / PAIR; }

/* What an operation needs of memory, in numbers for one image. */
typedef struct {
    Stage stage; /* all zero if it is none */
    int size;    /* of its output: pixels times lanes */
    int lanes;   /* of its output */
    int kept;    /* whether its output is kept as v; that of a stage is computed from y */
    int masks;   /* vectors of dropout masks */
    int scratch; /* float numbers that a thread needs for it */
} OpSizes;

/* Inputs of a linear layer whose weights' gradients are computed together, so that their values for
 * all images stay in the cache. */
#define INPUT_CHUNK 64

/* Scratch memory of one thread for one operation. */
typedef struct {
    /* Sums over the thread's images: y and y^2 in the forward pass, later dz and dz * normalized y.
     */
    float *sum, *square;
    float *d_weight, *d_bias;
    float *scale, *shift, *center, *inv_std, *grad_scale, *mean_dz, *mean_dzy;
    float *dz;       /* of one image, if the stage ends in a pooling */
    elem *dy;        /* of one image, spread by the stride and padded, for the input's gradient */
    float *dy_pairs; /* of one image, in pairs of pixels, for the weights' gradient */
    float *x_pairs;  /* the input of one image in pairs, with HALF */
    /* For a linear layer, both in pairs of images, the latter of INPUT_CHUNK inputs. */
    float *scratch;
} ThreadWorkspace;

/* All memory of a net: pointers into `Net.memory`. */
typedef struct {
    elem *x[OPS], *y[OPS], *v[OPS], *g[OPS];
    elem *weight[OPS], *back_weight[OPS];
    elem *dy[OPS];           /* of all images, for linear layers */
    uint16_t *masks[OPS];    /* kept by dropout: one bit for each lane */
    ThreadWorkspace workspace[MAX_THREADS][OPS];
    float *head;             /* weights of the linear layer at the end, in the order of features */
    float *d_head[MAX_THREADS], *d_head_bias[MAX_THREADS];
    double loss[MAX_THREADS][8]; /* one cache line for each thread */
    int64_t correct[MAX_THREADS][8];
} Arena;

INLINE void *allocate(char **next, size_t bytes) {
    char *start = *next;
    *next += (bytes + LANES * 8 + 63) / 64 * 64; /* a vector may be read beyond the end */
    return start;
}

static const OpSizes op_sizes[OPS] = {ALL_SIZES};

/* Set the pointers of an arena that begins at `memory`; return its size in bytes. */
static size_t lay_out_arena(char *memory, int threads, Arena *arena) {
    char *next = memory;
    for (int k = 0; k < OPS; k++) {
        const OpSizes o = op_sizes[k];
        const Stage s = o.stage;
        const int is_stage = s.out > 0;
        arena->x[k] = allocate(&next, is_stage ? IMAGES * x_size(s) * sizeof(elem) : 0);
        arena->y[k] = allocate(&next, is_stage ? IMAGES * y_size(s) * sizeof(elem) : 0);
        arena->v[k] = allocate(&next, o.kept ? (size_t)IMAGES * o.size * sizeof(elem) : 0);
        arena->g[k] = allocate(&next, TRAINING ? (size_t)IMAGES * o.size * sizeof(elem) : 0);
        arena->weight[k] = allocate(&next, is_stage ? w_size(s) * sizeof(elem) : 0);
        arena->back_weight[k] =
            allocate(&next, is_stage && TRAINING ? back_w_size(s) * sizeof(elem) : 0);
        arena->dy[k] = allocate(&next, s.linear ? IMAGES * back_size(s) * sizeof(elem) : 0);
        arena->masks[k] = allocate(&next, (size_t)IMAGES * o.masks * 2);
    }
    for (int t = 0; t < threads; t++) {
        for (int k = 0; k < OPS; k++) {
            const OpSizes o = op_sizes[k];
            const Stage s = o.stage;
            ThreadWorkspace *ws = &arena->workspace[t][k];
            float **per_channel[] = {&ws->sum,     &ws->square,  &ws->d_bias,  &ws->scale,
                                     &ws->shift,   &ws->center,  &ws->inv_std, &ws->grad_scale,
                                     &ws->mean_dz, &ws->mean_dzy};
            for (size_t i = 0; i < sizeof per_channel / sizeof *per_channel; i++)
                *per_channel[i] = allocate(&next, (s.out ? lanes(s) : o.lanes) * 4);
            const int is_stage = s.out > 0, trained = is_stage && TRAINING;
            ws->d_weight = allocate(&next, trained ? w_size(s) * 4 : 0);
            ws->dz = allocate(&next, trained ? y_size(s) * 4 : 0);
            ws->dy = allocate(&next, trained && !s.linear ? back_size(s) * sizeof(elem) : 0);
            const size_t image_pairs = (IMAGES + PAIR - 1) / PAIR;
            const size_t dy_pairs = s.linear ? image_pairs : (size_t)s.h * pixel_pairs(s);
            const size_t x_pairs = s.linear ? image_pairs * INPUT_CHUNK
                                   : HALF   ? x_size(s) + (size_t)s.stride_w * pitch(s)
                                            : 0;
            ws->dy_pairs = allocate(&next, trained ? dy_pairs * lanes(s) * 4 : 0);
            ws->x_pairs = allocate(&next, trained ? x_pairs * 4 : 0);
            ws->scratch = allocate(&next, (size_t)o.scratch * 4);
        }
        arena->d_head[t] = allocate(&next, (size_t)CLASSES * FEATURES * 4);
        arena->d_head_bias[t] = allocate(&next, CLASSES * 4);
    }
    arena->head = allocate(&next, (size_t)CLASSES * FEATURES * 4);
    return (size_t)(next - memory);
}

/* Bytes of memory that a net needs. */
size_t netlet_arena_size(int threads) {
    static Arena arena;
    return lay_out_arena(NULL, threads, &arena) + sizeof arena + 64;
}
