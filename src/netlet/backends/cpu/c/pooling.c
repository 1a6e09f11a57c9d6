/* Max and mean pooling with any window. */

typedef struct {
    int mode; /* 0: maximum; 1: mean; 2: maximum whose gradient all equal elements share */
    int in_h, in_w, out_h, out_w, lanes;
    int kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h, dilation_w;
    int adaptive;    /* windows that divide the map as evenly as possible */
    int include_pad; /* padding counts in the mean */
    int divisor;     /* of the sum; 0: the number of elements */
} Pool;

/* A window along one axis: its first position, which may lie in the padding, its elements, and how
 * many of them count in a mean. */
typedef struct {
    int first, elements, counted;
} Window;

INLINE Window window_of(int i, int in, int out, int kernel, int stride, int padding, int dilation,
                        int adaptive, int include_pad) {
    if (adaptive) {
        const int first = i * in / out, end = ((i + 1) * in + out - 1) / out;
        return (Window){first, end - first, end - first};
    }
    const int first = i * stride - padding;
    int counted = 0;
    for (int t = 0; t < kernel; t++) {
        const int at = first + t * dilation;
        counted += include_pad ? at < in + padding : at >= 0 && at < in;
    }
    return (Window){first, kernel, counted};
}

INLINE Window rows_of(Pool p, int h) {
    return window_of(h, p.in_h, p.out_h, p.kernel_h, p.stride_h, p.top, p.dilation_h, p.adaptive,
                     p.include_pad);
}

INLINE Window cols_of(Pool p, int w) {
    return window_of(w, p.in_w, p.out_w, p.kernel_w, p.stride_w, p.left, p.dilation_w, p.adaptive,
                     p.include_pad);
}

INLINE float mean_factor(Pool p, Window rows, Window cols) {
    return 1.0f / (p.divisor ? p.divisor : rows.counted * cols.counted);
}

/* Run the statement for every element (h, w) of a window that lies in the map. */
#define FOR_WINDOW(p, rows, cols, ...)                                                   \
    ROLLED for (int t = 0; t < rows.elements; t++) {                                     \
        const int h = rows.first + t * p.dilation_h;                                     \
        if (h < 0 || h >= p.in_h) continue;                                              \
        ROLLED for (int u = 0; u < cols.elements; u++) {                                 \
            const int w = cols.first + u * p.dilation_w;                                 \
            if (w < 0 || w >= p.in_w) continue;                                          \
            __VA_ARGS__                                                                  \
        }                                                                                \
    }

INLINE vec pooled(Pool p, Input in, Window rows, Window cols, int b) {
    if (p.mode == 1) {
        vec sum = {0};
        FOR_WINDOW(p, rows, cols, sum += input_at(in, h, w, b);)
        return sum * mean_factor(p, rows, cols);
    }
    vec largest = (vec){0} - INFINITY;
    FOR_WINDOW(p, rows, cols, largest = maximum(largest, input_at(in, h, w, b));)
    return largest;
}

INLINE void pool_forward(Pool p, Input in, elem *v) {
    ROLLED for (int row = 0; row < p.out_h; row++)
        ROLLED for (int col = 0; col < p.out_w; col++) {
            const Window rows = rows_of(p, row), cols = cols_of(p, col);
            ROLLED for (int b = 0; b < p.lanes / LANES; b++)
                store(v + (row * p.out_w + col) * p.lanes + b * LANES,
                      pooled(p, in, rows, cols, b));
        }
}

/* The gradient of the input, one image. */
INLINE void pool_backward(Pool p, Input in, const elem *g, float *dx) {
    memset(dx, 0, (size_t)p.in_h * p.in_w * p.lanes * 4);
    ROLLED for (int row = 0; row < p.out_h; row++)
        ROLLED for (int col = 0; col < p.out_w; col++) {
            const Window rows = rows_of(p, row), cols = cols_of(p, col);
            ROLLED for (int b = 0; b < p.lanes / LANES; b++) {
                vec grad = load(g + (row * p.out_w + col) * p.lanes + b * LANES);
                if (p.mode == 1) {
                    grad *= mean_factor(p, rows, cols);
                    FOR_WINDOW(p, rows, cols,
                               *(vec *)(dx + (h * p.in_w + w) * p.lanes + b * LANES) += grad;)
                    continue;
                }
                const vec largest = pooled(p, in, rows, cols, b);
                if (p.mode == 2) {
                    vec equal = {0};
                    FOR_WINDOW(p, rows, cols,
                               equal += blend(input_at(in, h, w, b) == largest,
                                              (vec){0} + 1.0f, (vec){0});)
                    grad /= equal;
                }
                int_vec assigned = {0};
                FOR_WINDOW(p, rows, cols, {
                    /* As in PyTorch, the first maximum gets the whole gradient. */
                    const int_vec is_max = (input_at(in, h, w, b) == largest) & ~assigned;
                    if (p.mode == 0) assigned |= is_max;
                    *(vec *)(dx + (h * p.in_w + w) * p.lanes + b * LANES) +=
                        blend(is_max, grad, grad - grad);
                })
            }
        }
}
