"""Names of ATen operations, grouped by what a tracer does about them."""

# Returned as they are: the output is the same value as the input.
IDENTITIES = frozenset(
    ["alias", "clone", "contiguous", "detach", "lift_fresh", "to", "_to_copy", "dropout"]
)
# These read only the shape of a value.
SHAPE_ONLY = frozenset(
    [
        *("empty_like", "full_like", "new_empty", "new_empty_strided", "new_full", "new_ones"),
        *("new_zeros", "ones_like", "rand_like", "randn_like", "sym_size", "zeros_like"),
    ]
)
# Without a tensor as argument, these make numbers that no file holds.
GENERATED = frozenset(
    [
        *("_efficientzerotensor", "_empty_affine_quantized", "_sparse_coo_tensor_with_dims"),
        *("_sparse_compressed_tensor_with_dims", "arange", "bartlett_window", "blackman_window"),
        *("empty", "empty_permuted", "empty_strided", "eye", "fft_fftfreq", "fft_rfftfreq", "full"),
        *("hamming_window", "hann_window", "iota", "kaiser_window", "linspace", "logspace"),
        *("ones", "range", "scalar_tensor", "tril_indices", "triu_indices", "zeros"),
    ]
)
SPLITS = frozenset(
    [
        *("chunk", "split", "split_with_sizes", "unbind"),
        *("unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes"),
    ]
)
# These return a value to Python, or have a shape that depends on values.
VALUE_DEPENDENT = frozenset(
    [
        *("_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "_unique2"),
        *("_unique", "unique_consecutive", "unique_dim", "unique_dim_consecutive", "argwhere"),
        *("allclose", "equal", "is_nonzero", "bincount", "to_sparse", "_to_sparse", "one_hot"),
        *("_to_sparse_csr", "_to_sparse_csc", "_to_sparse_bsr", "_to_sparse_bsc"),
    ]
)
RANDOM = frozenset(
    [
        *("bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial"),
        *("native_dropout", "normal", "poisson", "rand", "rand_like", "randint", "randint_like"),
        *("randn", "randn_like", "random", "randperm", "uniform"),
    ]
)
ELEMENTWISE = frozenset(
    [
        *("abs", "addcdiv", "addcmul", "bernoulli", "bitwise_and", "bitwise_not", "bitwise_or"),
        *(
            "ceil",
            "celu",
            "copy",
            "cos",
            "eq",
            "erf",
            "exp",
            "expm1",
            "fill",
            "floor",
            "fmod",
            "ge",
            "gt",
            "isfinite",
            "isnan",
        ),
        *("le", "lerp", "log", "log10", "log1p", "log2", "log_sigmoid_forward", "logical_and"),
        *("logical_not", "logical_or", "lt", "masked_fill", "maximum", "minimum", "mish", "ne"),
        *(
            "neg",
            "nan_to_num",
            "native_dropout",
            "pow",
            "reciprocal",
            "remainder",
            "round",
            "rsqrt",
            "selu",
            "sgn",
        ),
        *("sign", "sin", "softplus", "sqrt", "square", "tan", "threshold", "trunc", "where"),
        *("fake_quantize_per_channel_affine_cachemask", "rrelu_with_noise", "xlogy"),
        "fake_quantize_per_tensor_affine_cachemask",
        "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    ]
)
# All that compute an element of their output from the elements at the same place.
POINTWISE = (
    ELEMENTWISE
    | IDENTITIES
    | frozenset(
        [
            *("add", "clamp", "clamp_max", "clamp_min", "div", "elu", "gelu", "hardsigmoid"),
            *("hardswish", "hardtanh", "leaky_relu", "mul", "prelu", "_prelu_kernel", "relu"),
            *("relu6", "rsub", "sigmoid", "silu", "sub", "tanh"),
        ]
    )
)
# These only look at a value in another way.
VIEWS = frozenset(
    [
        *("_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "diagonal"),
        *("expand", "imag", "lift_fresh", "narrow", "permute", "real", "reshape", "select"),
        *("slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind"),
        *("unflatten", "unfold", "unsqueeze", "view", "view_as_complex", "view_as_real"),
    ]
)
# Functions and methods, above the dispatcher, that hand a tensor's memory or all values to other
# code.
BULK_READS = frozenset(
    [
        *("__array__", "__dlpack__", "__format__", "__reduce_ex__", "__repr__", "apply_"),
        *("data_ptr", "map2_", "map_", "numpy", "storage", "tolist", "untyped_storage"),
    ]
)
# These make a tensor of what they are given, also of values of another tensor.
CONSTRUCTORS = frozenset(["__deepcopy__", "as_tensor", "asarray", "new", "new_tensor", "tensor"])
