"""Names of operations outside the vocabulary that have no multiply-adds.

A multiply-add is a product that is added up with others: that of a convolution, a dense layer, a
matrix product, attention. Element-wise functions, sums, means, norms, pooling, interpolation and
copies have none. The count of an operation that is on no list is unknown.
"""

from __future__ import annotations

from netlet.graph.aten_names import ELEMENTWISE, IDENTITIES, RANDOM, SHAPE_ONLY, VIEWS
from netlet.graph.aten_names import VALUE_DEPENDENT as READING

_ELEMENTWISE = """
    absolute acos acosh add and angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin
    asinh atan atan2 atanh bitwise_left_shift bitwise_right_shift bitwise_xor clamp clamp_max
    clamp_min clip complex conj conj_physical copysign cosh deg2rad digamma div elu erfc erfinv exp2
    fake_quantize_learnable_per_channel_affine fake_quantize_learnable_per_tensor_affine
    fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask
    fake_quantize_per_tensor_affine_cachemask_tensor_qparams fused_moving_avg_obs_fake_quant
    fused_moving_avg_obs_fq_helper fix float_power floor_divide fmax fmin
    frac frexp gcd gelu glu greater greater_equal hardshrink hardsigmoid hardswish hardtanh
    heaviside hypot i0 iand igamma igammac ilshift ior irshift isinf isneginf isposinf isreal ixor
    lcm ldexp leaky_relu less less_equal lgamma logaddexp logaddexp2 logical_xor logit lshift
    masked_scale mul mvlgamma neg_view negative nextafter not_equal or polar polygamma positive
    prelu prelu_kernel rad2deg relu relu6 resolve_conj resolve_neg rrelu rrelu_with_noise rshift
    rsub sigmoid signbit silu sinc sinh softshrink special_airy_ai special_bessel_j0
    special_bessel_j1 special_bessel_y0 special_bessel_y1 special_entr special_erfcx special_i0e
    special_i1 special_i1e special_log_ndtr special_modified_bessel_i0 special_modified_bessel_i1
    special_modified_bessel_k0 special_modified_bessel_k1 special_ndtri
    special_scaled_modified_bessel_k0 special_scaled_modified_bessel_k1 special_spherical_bessel_j0
    special_xlog1py special_zeta sub subtract tanh thnn_fused_gru_cell thnn_fused_lstm_cell
    true_divide xor
"""
_SUMS = """
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d all amax amin
    aminmax any argmax argmin argsort avg_pool1d avg_pool2d avg_pool3d bincount count_nonzero cummax
    cummin cumprod cumsum dist fractional_max_pool2d fractional_max_pool3d histc kthvalue
    linalg_vector_norm logcumsumexp logsumexp max max_pool1d max_pool2d max_pool2d_with_indices
    max_pool3d max_pool3d_with_indices max_unpool2d max_unpool3d mean median min mode nanmedian
    nansum norm prod sort std std_mean sum topk trace var var_mean
"""
_NORMS = """
    batch_norm_no_update batch_norm_with_update cudnn_batch_norm fused_rms_norm log_softmax
    masked_softmax native_batch_norm native_batch_norm_legit native_batch_norm_legit_no_training
    native_group_norm native_layer_norm renorm safe_softmax softmax weight_norm_interface
"""
_LOSSES = """
    binary_cross_entropy binary_cross_entropy_with_logits huber_loss mse_loss multi_margin_loss
    multilabel_margin_loss_forward nll_loss2d_forward nll_loss_forward smooth_l1_loss
    soft_margin_loss
"""
_INTERPOLATION = """
    cudnn_grid_sampler grid_sampler_2d grid_sampler_2d_cpu_fallback grid_sampler_3d
    upsample_bicubic2d upsample_bicubic2d_aa upsample_bilinear2d upsample_bilinear2d_aa
    upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    upsample_nearest_exact1d upsample_nearest_exact2d upsample_nearest_exact3d upsample_trilinear3d
"""
_COPIES = """
    alias_copy arange as_strided_copy as_strided_scatter block_diag bucketize cat channel_shuffle
    col2im constant_pad_nd convert_element_type copy_from cross_entropy detach_copy diag_embed
    diagonal_copy diagonal_scatter embedding embedding_renorm empty empty_permuted empty_strided
    expand_copy eye fill flip full gather im2col index index_add index_copy index_fill index_put
    index_put_impl index_reduce index_select isin lift lift_fresh_copy linspace masked_scatter
    narrow_copy native_channel_shuffle one_hot ones permute_copy pin_memory pixel_shuffle
    pixel_unshuffle put range reflection_pad1d reflection_pad2d reflection_pad3d repeat
    repeat_interleave replication_pad1d replication_pad2d replication_pad3d reshape_copy resize
    resize_as roll rot90 scalar_tensor scatter scatter_add scatter_reduce searchsorted select_copy
    select_scatter set set_data slice_copy slice_scatter split_copy split_with_sizes_copy
    squeeze_copy stack t_copy take to_dense to_sparse transpose_copy tril tril_indices triu
    triu_indices unbind_copy unfold_copy unique_dim unsafe_index unsafe_index_put
    unsafe_masked_index unsafe_split unsafe_split_with_sizes unsqueeze_copy view_copy zero zeros
"""
NO_MULTIPLY_ADDS = frozenset(
    name.strip("_")
    for names in (ELEMENTWISE, IDENTITIES, RANDOM, READING, SHAPE_ONLY, VIEWS)
    for name in names
) | frozenset((_ELEMENTWISE + _SUMS + _NORMS + _LOSSES + _INTERPOLATION + _COPIES).split())
