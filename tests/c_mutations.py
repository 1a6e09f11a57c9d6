"""Small mistakes in the C code of training steps and of augmentation, one at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One mistake: the first or a later occurrence of a text becomes another.

    Attributes:
        what: The mistake in a few words.
        old: A text of the C program.
        new: What it becomes.
        nth: Which occurrence, from 0.
    """

    what: str
    old: str
    new: str
    nth: int = 0

    def apply(self, source: str) -> str:
        """Return the program with the mistake."""
        parts = source.split(self.old)
        if len(parts) < self.nth + 2:
            raise ValueError(f"{self.what}: the program has no {self.old!r} number {self.nth}")
        head, tail = parts[: self.nth + 1], parts[self.nth + 1 :]
        return self.old.join(head) + self.new + self.old.join(tail)


# What a lying compiler did in the past, without any test noticing.
LIES = (
    Mutation(
        "images after the 16th scored as others",
        "images + (size_t)i * IMAGE_SIZE, thread)",
        "images + (size_t)(i % 16) * IMAGE_SIZE, thread)",
    ),
    Mutation("running mean never updated", "t.mean[c] += t.momentum *", "t.mean[c] += 0 *"),
    Mutation("running variance never updated", "t.var[c] += t.momentum *", "t.var[c] += 0 *"),
    Mutation(
        "label smoothing ignored",
        "thread, label, smoothing, n, arena",
        "thread, label, 0, n, arena",
    ),
    Mutation("dropout without its scale", "training ? 1 / (1 - net->op[k].dropout) : 1}", "1}"),
)

_CONVOLUTION = (
    Mutation("a tap left out", "i < last; i++", "i < last - 1; i++"),
    Mutation("the first tap left out", "int i = first;", "int i = first + 1;"),
    Mutation("bias omitted", "vec initial = bias ? load_f32", "vec initial = 0 ? load_f32"),
    Mutation("wrong stride of rows", "s.stride_h * x_row(s),\n", "x_row(s),\n"),
    Mutation("wrong stride of columns", "s.stride_w * pitch(s),\n", "pitch(s),\n"),
    Mutation("zero rows skipped wrongly", "above > 0 ? above : 0", "above > 0 ? above + 1 : 0"),
    Mutation("batch sum without squares", "square[b] += v * v;", "square[b] += v;"),
    Mutation("sum of the first tile only", "sum[b] += v, square", "sum[b] = v, square"),
    Mutation(
        "sums of the last image only",
        "*(vec *)(sum + (b + i) * LANES) += sums[i]",
        "*(vec *)(sum + (b + i) * LANES) = sums[i]",
    ),
    Mutation(
        "backward weights not mirrored",
        "s.kernel_w - 1 - place % s.taps_w * s.dilation_w",
        "place % s.taps_w * s.dilation_w",
    ),
    Mutation(
        "backward rows not mirrored",
        "s.kernel_h - 1 - place / s.taps_w * s.dilation_h",
        "place / s.taps_w * s.dilation_h",
    ),
    Mutation(
        "channels swapped",
        "forward[((size_t)(j / PAIR) * lanes(s) + o)",
        "forward[((size_t)(j / PAIR) * lanes(s) + (o ^ 1))",
    ),
    Mutation("wrong padding of the input", "(h + next.top) * x_row", "(h) * x_row"),
    Mutation("wrong column of the input", "(w + next.left) * pitch", "(w) * pitch"),
    Mutation("image in the wrong column", "(w + s.left) * pitch(s) + c", "(w) * pitch(s) + c"),
    Mutation("wrong image channel", "image[(c * s.in_h + h)", "image[(0 * s.in_h + h)"),
    Mutation(
        "weight gradient of one image", "+=\n                    a[", "=\n                    a["
    ),
    Mutation(
        "weight gradient without a row",
        "ROLLED for (int h = 0; h < s.h; h++) {\n",
        "ROLLED for (int h = 1; h < s.h; h++) {\n",
    ),
    Mutation(
        "weight gradient ignores stride", "(h * s.stride_h * x_row(s) + w", "(h * x_row(s) + w"
    ),
    Mutation(
        "input gradient shifted",
        "above = s.kernel_h - 1 - s.top, before = s.kernel_w - 1 - s.left;\n"
        "    ROLLED for (int b = 0; b < all",
        "above = s.kernel_h - 1 - s.top, before = s.kernel_w - 1;\n"
        "    ROLLED for (int b = 0; b < all",
    ),
    Mutation(
        "input gradient of another stride",
        "(before + (w + i) * s.stride_w) * back_pitch",
        "(before + (w + i)) * back_pitch",
    ),
    Mutation("no bias gradient", "if (s.bias) bias += d[i];", ""),
    Mutation(
        "bias gradient of one image",
        "(ws.d_bias + b * LANES) += bias",
        "(ws.d_bias + b * LANES) = bias",
    ),
    Mutation(
        "kernel transposed",
        "weight_row(s, 0, t.i + i, t.place + p)",
        "weight_row(s, 0, t.i + i, (t.place + p) % s.taps_w * s.taps_h + (t.place + p) / s.taps_w)",
    ),
    Mutation("weight gradients not cleared", "memset(ws.d_weight, 0, w_size(s) * 4);", ""),
    Mutation("bias gradients not cleared", "memset(ws.d_bias, 0, lanes(s) * 4);", ""),
    Mutation(
        "weights of the first step kept",
        "int out_from,\n                         int out_to) {\n    for (int o",
        "int out_from,\n                         int out_to) {\n"
        "    if (forward[0]) return;\n    for (int o",
    ),
    Mutation(
        "one image too few in memory",
        "is_stage ? IMAGES * x_size(s)",
        "is_stage ? (IMAGES - 1) * x_size(s)",
    ),
    Mutation(
        "pairs of windows apart by one pixel", "apart = s.stride_w * pitch(s)", "apart = pitch(s)"
    ),
    Mutation(
        "second of a pair of pixels left out",
        "interleave(d[0], d[1])",
        "interleave(d[0], d[0] - d[0])",
    ),
)

_DEPTHWISE = (
    Mutation("depthwise bias omitted", "const vec initial = bias ?", "const vec initial = 0 ?"),
    Mutation(
        "depthwise not mirrored",
        "backward[(s.kernel_h * s.kernel_w - 1 - weight_row(s, o, i, place))",
        "backward[weight_row(s, o, i, place)",
    ),
    Mutation("depthwise rows as columns", "window + i * s.row + j", "window + j * s.row + i"),
    Mutation("depthwise squares left out", "squares += a * a;", "squares += a;"),
    Mutation(
        "depthwise gradient ignores stride", "x + r * s.stride_h * x_row(s)", "x + r * x_row(s)"
    ),
    Mutation(
        "depthwise gradient of one image",
        "*(vec *)(d_weight + i * lanes(s) + b) += a[i]",
        "*(vec *)(d_weight + i * lanes(s) + b) = a[i]",
    ),
    Mutation(
        "depthwise gradient of another pixel",
        "const vec d = load(dy + (above + r * s.stride_h)",
        "const vec d = load(dy + (above + r)",
    ),
)

_NORM = (
    Mutation("epsilon left out", "sqrt(var + t.epsilon)", "sqrt(var)"),
    Mutation("biased running variance", "var * count / (count - 1)", "var"),
    Mutation("mean of another count", "mean = sum / count;", "mean = sum / (count + 3);"),
    Mutation("variance around zero", "square / count - mean * mean", "square / count"),
    Mutation(
        "gamma left out",
        "ws.scale[c] = t.gamma ? ws.inv_std[c] * t.gamma[c] :",
        "ws.scale[c] = 0 ? 0 :",
    ),
    Mutation("beta left out", "(t.beta ? t.beta[c] : 0) - ", "-"),
    Mutation(
        "gamma left out of the gradient",
        "ws.grad_scale[c] = t.gamma ? ws.inv_std[c] * t.gamma[c] :",
        "ws.grad_scale[c] = 0 ? 0 :",
    ),
    Mutation(
        "batch statistics in evaluation",
        "} else mean = t.mean[c], var = t.var[c];",
        "} else mean = 0, var = t.var[c];",
    ),
    Mutation(
        "running variance of another channel",
        "else mean = t.mean[c], var = t.var[c]",
        "else mean = t.mean[c], var = t.var[0]",
    ),
    Mutation(
        "momentum twice", "t.mean[c] += t.momentum * (", "t.mean[c] += t.momentum * t.momentum * ("
    ),
    Mutation("no gradient through the mean", "d - load_f32(ws.mean_dz + b * LANES)", "d"),
    Mutation(
        "no gradient through the variance", "- normalized * load_f32(ws.mean_dzy + b * LANES)", ""
    ),
    Mutation("beta's gradient doubled", "t.d_beta[c] + sum : sum;", "t.d_beta[c] + sum : 2 * sum;"),
    Mutation(
        "gamma's gradient without its sign",
        "t.d_gamma[c] + sum_dzy : sum_dzy;",
        "t.d_gamma[c] + sum_dzy : fabsf(sum_dzy);",
    ),
    Mutation("sums not cleared between steps", "clear_sums(arena, k, thread, lanes(s));", ""),
    Mutation(
        "squares not cleared", "memset(arena->workspace[thread][k].square, 0, lanes * 4);", ""
    ),
    Mutation(
        "forward sums kept in the backward pass",
        "clear_sums(arena, 0, thread, ",
        "if (0) clear_sums(arena, 0, thread, ",
    ),
    Mutation("no sums of a norm's gradient", "norm_sums_0(net, arena, thread, i, 1);", ""),
    Mutation(
        "sums without the ReLU before the norm",
        "const vec v = relu_of(load(y + pixel * lanes(s) + b));",
        "const vec v = load(y + pixel * lanes(s) + b);",
    ),
    Mutation(
        "gradient's sums without the ReLU before the norm",
        "s.relu_first ? relu_of(load(y)) : load(y)",
        "load(y)",
    ),
    Mutation(
        "no gradient of the ReLU before the norm",
        "return s.relu_first ? blend(y > 0.0f",
        "return 0 ? blend(y > 0.0f",
    ),
)

_ACTIVATION = (
    Mutation("no ReLU", "return s.relu ? relu_of(y) : y;", "return y;"),
    Mutation("no ReLU before the norm", "if (s.relu_first) y = relu_of(y);", ""),
    Mutation("ReLU's gradient everywhere", "if (s.relu) g = blend(", "if (0) g = blend("),
    Mutation(
        "dropout's gradient not masked",
        "if (s.dropout) g = blend(expand_mask(conv.masks[at / LANES]), g *",
        "if (s.dropout) g = blend((int_vec){0} - 1, g *",
    ),
    Mutation("dropout's gradient not scaled", "g * conv.dropout_scale, g - g", "g, g - g"),
    Mutation("the same mask for all images", "(uint32_t)(image * vectors + i)", "(uint32_t)i"),
    Mutation("the same mask in all stages", ", seed + ", ", seed + 0 * ", 1),
    Mutation(
        "a wrong dropout rate",
        "(uint32_t)(dropout * 4294967296.0)",
        "(uint32_t)(dropout * 2147483648.0)",
    ),
    Mutation("half of the seed ignored", "+ (uint32_t)(seed >> 32)", ""),
    Mutation(
        "dropout in evaluation",
        "training && s.dropout ? arena->masks[k]",
        "s.dropout ? arena->masks[k]",
    ),
    Mutation(
        "minimum instead of maximum", "return blend(b > a, b, a);", "return blend(b > a, a, b);"
    ),
    Mutation(
        "pooling of three pixels",
        "activation_at(s, conv, corner + s.w + 1, b)",
        "activation_at(s, conv, corner + s.w, b)",
    ),
    Mutation("pooling's gradient to all maxima", " & ~assigned", ""),
    Mutation(
        "pooling's gradient to three pixels",
        "UNROLLED for (int i = 0; i < 4; i++)\n                    *(vec *)(dz",
        "UNROLLED for (int i = 0; i < 3; i++)\n                    *(vec *)(dz",
    ),
)

_HEAD_AND_LOSS = (
    Mutation(
        "average over the wrong number",
        "sum * (1.0f / (e.h * e.w))",
        "sum * (1.0f / (e.h * e.w + 1))",
    ),
    Mutation(
        "gradient of the average over the wrong number",
        "load_f32(d_features + b) * (1.0f / (e.h * e.w))",
        "load_f32(d_features + b)",
    ),
    Mutation("no bias of the head", "e.head_bias ? net->head_bias[c] : 0", "0"),
    Mutation(
        "a feature left out",
        "for (int i = 0; i < e.channels; i++) sum +=",
        "for (int i = 1; i < e.channels; i++) sum +=",
    ),
    Mutation("smoothing without its share", "+ smoothing / CLASSES;", ";"),
    Mutation("the loss without smoothing", " - smoothing * mean;", ";"),
    Mutation(
        "gradient of another batch size",
        "/ total - target) / images;",
        "/ total - target) / (images + 1);",
    ),
    Mutation(
        "the mean over another batch size",
        "*loss = (float)(total / n);",
        "*loss = (float)(total / (n - 1));",
    ),
    Mutation("counts wrong predictions", "+= best == label;", "+= best != label;"),
    Mutation("the loss kept between steps", "arena->loss[thread][0] = 0;", ""),
    Mutation("correct predictions kept between steps", "arena->correct[thread][0] = 0;", ""),
    Mutation(
        "gradient of the head doubled",
        "d_head[c * FEATURES + i] += d *",
        "d_head[c * FEATURES + i] += 2 * d *",
    ),
    Mutation(
        "gradient of the head kept between steps",
        "memset(arena->d_head[thread], 0, (size_t)CLASSES * FEATURES * 4);",
        "",
    ),
    Mutation("the head's bias gradient left out", "d_bias[c] += d;", ""),
)

_BATCHES_AND_THREADS = (
    Mutation(
        "the last image left out",
        "to = split_start(n, thread + 1, net->threads);",
        "to = split_start(n, thread + 1, net->threads) - (n > 3);",
        1,
    ),
    Mutation(
        "the last image of a thread not scored",
        "int from, int to, float *logits) {",
        "int from, int to, float *logits) {\n    to -= to - from > 3;",
    ),
    Mutation(
        "one thread's sums only",
        "for (int i = 0; i < net->threads; i++)\n                sum +=",
        "for (int i = 0; i < 1; i++)\n                sum +=",
    ),
    Mutation(
        "one thread's sums of the norm's gradient only",
        "for (int i = 0; i < net->threads; i++)\n            sum +=",
        "for (int i = 0; i < 1; i++)\n            sum +=",
    ),
    Mutation(
        "one thread's weight gradients only",
        "for (int a = 0; a < net->threads; a++) {\n                const float *from",
        "for (int a = 0; a < 1; a++) {\n                const float *from",
    ),
    Mutation(
        "one thread's bias gradients only",
        "for (int a = 0; a < net->threads; a++) sum +=",
        "for (int a = 0; a < 1; a++) sum +=",
    ),
    Mutation(
        "one thread's gradient of the head only",
        "for (int t = 0; t < net->threads; t++)\n                sum +=",
        "for (int t = 0; t < 1; t++)\n                sum +=",
    ),
    Mutation(
        "the last images scored as the first",
        "logits + (size_t)i * CLASSES",
        "logits + (size_t)(i % 20) * CLASSES",
    ),
)

_LINEAR = (
    Mutation("last rows left out", "c = full; c < n; c++", "c = full; c < n - 1; c++"),
    Mutation(
        "linear layer without its bias",
        "bias + b * LANES : NULL;\n        elem *to",
        "NULL : NULL;\n        elem *to",
    ),
    Mutation(
        "C H W read as H W C",
        "if (s.linear) return place * round_up(s.map_channels, LANES) + i;",
        "if (s.linear) return i * weight_places(s) + place;",
    ),
    Mutation("linear sums without squares", "+= squares[i]", "+= sums[i]", 1),
    Mutation(
        "norm after a linear layer's ReLU of one image",
        "add_rectified_sums(s, y + i * y_size(s), ws)",
        "add_rectified_sums(s, y, ws)",
    ),
    Mutation(
        "linear gradient of the first image",
        "ROLLED for (int i = 0; i < (n + PAIR - 1) / PAIR; i++) {",
        "ROLLED for (int i = 0; i < 1; i++) {",
    ),
    Mutation(
        "linear gradient of another image",
        "mac(a[c * blocks + b], d[b], x + i * chunk + c)",
        "mac(a[c * blocks + b], d[b], x + c)",
    ),
    Mutation(
        "linear gradient without the last image",
        "i + 1 < n ? load(row + step)",
        "i + 2 < n ? load(row + step)",
    ),
    Mutation(
        "linear gradient without the inputs after whole chunks",
        "if (rest) linear_gradient_chunk(",
        "if (rest && n < 0) linear_gradient_chunk(",
    ),
    Mutation(
        "linear gradient without the first inputs",
        "c = 0; c < full; c += s.grad_cols)\n            linear_gradient_tile",
        "c = s.grad_cols; c < full; c += s.grad_cols)\n            linear_gradient_tile",
    ),
    Mutation(
        "linear gradient of one thread's first images",
        "*(vec *)(d_weight + (size_t)c * lanes(s) + b * LANES) =",
        "*(vec *)(d_weight + (size_t)c * lanes(s) + b * LANES) = 0 *",
    ),
    Mutation(
        "last image without a gradient of the input",
        "weight, NULL, g, NULL, NULL, n);",
        "weight, NULL, g, NULL, NULL, n - 1);",
    ),
    Mutation(
        "images of a linear net scored as others",
        "images + (size_t)i * IMAGE_SIZE, slot",
        "images + (size_t)(i % 16) * IMAGE_SIZE, slot",
    ),
    Mutation(
        "the last image not multiplied in evaluation",
        ", thread, from, to - from);",
        ", thread, from, to - from - 1);",
    ),
    Mutation(
        "the last image not multiplied in training",
        ", thread, from, to - from);",
        ", thread, from, to - from - 1);",
        2,
    ),
)

_GATED = (
    Mutation(
        "groups read the first one's channels",
        "return o / (s.out / s.groups) * (s.in / s.groups) + i;",
        "return i;",
    ),
    Mutation(
        "rows not dilated",
        "r = place / s.taps_w * s.dilation_h, c = place % s.taps_w * s.dilation_w;",
        "r = place / s.taps_w, c = place % s.taps_w * s.dilation_w;",
    ),
    Mutation(
        "columns not dilated",
        "r = place / s.taps_w * s.dilation_h, c = place % s.taps_w * s.dilation_w;",
        "r = place / s.taps_w * s.dilation_h, c = place % s.taps_w;",
    ),
    Mutation(
        "difference instead of sum",
        "store(v + at, input_at(one, h, w, b) +\n",
        "store(v + at, input_at(one, h, w, b) -\n",
    ),
    Mutation(
        "sum with another pixel",
        "input_at(other, broadcast ? 0 : h, broadcast ? 0 : w, b));)",
        "input_at(other, 0, 0, b));)",
    ),
    Mutation(
        "second gradient of a sum left out",
        "else *(vec *)(d_other + at) = grad;",
        "else *(vec *)(d_other + at) = grad - grad;",
    ),
    Mutation(
        "first gradient of a product not multiplied",
        "= grad * input_at(other, broadcast ? 0 : h, broadcast ? 0 : w, b);",
        "= grad;",
    ),
    Mutation(
        "a broadcast product's gradient not multiplied",
        "(d_other + b * LANES) += grad * input_at(one, h, w, b)",
        "(d_other + b * LANES) += grad",
    ),
    Mutation(
        "a broadcast product's gradient not cleared",
        "if (broadcast) memset(d_other, 0, m.lanes * 4);",
        "",
        1,
    ),
    Mutation(
        "one mask of channels for each pixel",
        "masks[channelwise ? b : at / LANES]",
        "masks[at / LANES]",
    ),
    Mutation("dropout of channels not scaled", "x * scale, x - x", "x, x - x"),
    Mutation("dropout of channels in evaluation", "training ? dropped(", "1 ? dropped("),
    Mutation(
        "gradient of dropout of channels not masked",
        "dropped(load(g + at), m, masks, scale, channelwise, at, b);",
        "load(g + at);",
    ),
    Mutation("image not scaled", "scale ? pixel * scale[c] + shift[c] : pixel", "pixel"),
    Mutation(
        "a gradient stored instead of added",
        "add ? load(g + i) + load_f32(dx + i) :",
        "0 ? load(g + i) :",
    ),
    Mutation(
        "a gradient added instead of stored",
        "store(g + i, add ? load(g + i)",
        "store(g + i, 1 ? load(g + i)",
    ),
    Mutation(
        "a convolution's gradient stored instead of added",
        "elem *to = add ? (elem *)ws.scratch : g;\n",
        "elem *to = g;\n    add = 0;\n",
    ),
    Mutation("shared weights: one gradient", "tensors.add_weight ? to[p] +", "0 ? to[p] +"),
    Mutation(
        "gradients of shared weights never cleared", "tensors.add_weight ? to[p]", "1 ? to[p]"
    ),
    Mutation(
        "shared norm: one gradient of gamma", "t.add_gamma ? t.d_gamma[c] + sum_dzy :", "0 ? 0 :"
    ),
    Mutation("shared norm: one gradient of beta", "t.add_beta ? t.d_beta[c] + sum :", "0 ? 0 :"),
    Mutation(
        "features in another order",
        "return i % (e.h * e.w) * e.lanes + i / (e.h * e.w);",
        "return i / e.channels * e.lanes + i % e.channels;",
    ),
    Mutation(
        "flat head without its last features",
        "i < FEATURES; i += LANES)",
        "i < FEATURES - LANES; i += LANES)",
    ),
    Mutation(
        "flat head's gradient to one pixel",
        "is_flat(e) ? load_f32(d_features + pixel * e.lanes + b)",
        "is_flat(e) ? load_f32(d_features + b)",
    ),
    Mutation(
        "flat head's weights of another class",
        "d_features[i] += d * arena->head[(size_t)c * FEATURES + i]",
        "d_features[i] += d * arena->head[i]",
    ),
    Mutation(
        "flat head's gradient doubled",
        "d_head[(size_t)c * FEATURES + i] += d *",
        "d_head[(size_t)c * FEATURES + i] += 2 * d *",
    ),
    Mutation(
        "flat head's first weights kept",
        "const int inputs = e.h * e.w * e.channels;\n",
        "const int inputs = e.h * e.w * e.channels;\n    if (arena->head[FEATURES - e.lanes] != 0) return;\n",
    ),
)

_JOINED = (
    Mutation(
        "a broadcast sum's gradient of one pixel",
        "(d_other + b * LANES) += grad;",
        "(d_other + b * LANES) = grad;",
    ),
    Mutation(
        "a broadcast sum's gradient not cleared",
        "if (broadcast) memset(d_other, 0, m.lanes * 4);",
        "",
    ),
    Mutation("maps joined at the first channel", "first + b * LANES,\n", "b * LANES,\n"),
    Mutation(
        "joined maps without the last channels",
        "whole.lanes - first - b * LANES);)",
        "part.channels - 1 - b * LANES);)",
    ),
    Mutation(
        "gradient of the first of joined maps for all",
        "whole.lanes + first + b * LANES);\n",
        "whole.lanes + b * LANES);\n",
    ),
    Mutation(
        "the first channels instead of some",
        "load_f32(all + first + b * LANES)",
        "load_f32(all + b * LANES)",
    ),
    Mutation(
        "gradient to the first channels",
        "dx[pixel * whole_lanes + first + c]",
        "dx[pixel * whole_lanes + c]",
    ),
    Mutation("scale left out", "b) * load_f32(scale + b * LANES) +\n", "b) +\n"),
    Mutation("shift left out", "load_f32(shift + b * LANES));)", "(vec){0});)"),
    Mutation("gradient not scaled", "load(g + at) * load_f32(scale + b * LANES)", "load(g + at)"),
    Mutation("padding at another side", "x = w - left,", "x = w,"),
    Mutation("rows cut off at another side", "y = h - top,", "y = h,"),
    Mutation("gradient of padding at another side", "x = w + left,", "x = w,"),
    Mutation(
        "padding repeats the border",
        "inside ? input_at(in, y, x, b) : (vec){0}",
        "input_at(in, y < 0 ? 0 : y < in_map.h ? y : in_map.h - 1, x < 0 ? 0 : x < in_map.w ? x : in_map.w - 1, b)",
    ),
    Mutation(
        "squares of a norm left out",
        "*(vec *)(ws.square + b * LANES) += x * x;",
        "*(vec *)(ws.square + b * LANES) += x;",
    ),
    Mutation("a norm not shifted", "load_f32(ws.shift + b * LANES));)", "(vec){0});)"),
    Mutation(
        "a norm's gradient sums not centered",
        "grad * (input_at(in, h, w, b) - load_f32(ws.center + b * LANES)) *",
        "grad * input_at(in, h, w, b) *",
    ),
    Mutation(
        "a norm's gradient without the mean",
        "(load(g + at) - load_f32(ws.mean_dz + b * LANES) -\n",
        "(load(g + at) -\n",
    ),
    Mutation(
        "a norm's gradient without the variance",
        "normalized * load_f32(ws.mean_dzy + b * LANES));",
        "normalized * 0.0f);",
    ),
    Mutation("a norm not applied in training", "apply_6(net, arena, thread, i, 1);", ""),
)

_RESIDUAL = (
    Mutation(
        "linear gradient stored instead of added",
        "store(g + i, load(g + i) + load(dx + i));",
        "store(g + i, load(dx + i));",
    ),
    Mutation("linear gradient of some images added", ", n * SIZE_", ", SIZE_"),
    Mutation("shared biases: one gradient", "t.add_bias ? t.d_bias[o] : 0", "0"),
    Mutation(
        "a product of one vector only", "input_at(one, h, w, b) *\n", "input_at(one, h, w, 0) *\n"
    ),
    Mutation("dropout of vectors with another seed", ", seed + ", ", seed + 1 + "),
    Mutation(
        "second gradient of a product not multiplied",
        "(d_other + at) = grad * input_at(one, h, w, b)",
        "(d_other + at) = grad",
    ),
)

_TRANSPOSE = (
    Mutation(
        "places in another order",
        "h * in_map.w + w] = to_elem(x[i]);",
        "w * in_map.h + h] = to_elem(x[i]);",
    ),
    Mutation("gradient of one row of places", "m.lanes + h * in_map.w + w]);", "m.lanes + w]);"),
    Mutation("gradient of other channels", "from_elem(g[(b * LANES + i) *", "from_elem(g[i *"),
)

_POOLING = (
    Mutation(
        "maximum of at least zero", "vec largest = (vec){0} - INFINITY;", "vec largest = (vec){0};"
    ),
    Mutation(
        "last row of a window left out",
        "t < rows.elements; t++",
        "t < rows.elements - (rows.elements > 1); t++",
    ),
    Mutation(
        "last column of a window left out",
        "u < cols.elements; u++",
        "u < cols.elements - (cols.elements > 1); u++",
    ),
    Mutation(
        "padding counts in the mean",
        "counted += include_pad ? at < in + padding : at >= 0 && at < in;",
        "counted += 1;",
    ),
    Mutation(
        "windows without padding",
        "const int first = i * stride - padding;",
        "const int first = i * stride;",
    ),
    Mutation(
        "windows without stride",
        "const int first = i * stride - padding;",
        "const int first = i - padding;",
    ),
    Mutation("rows of windows not dilated", "rows.first + t * p.dilation_h", "rows.first + t"),
    Mutation("adaptive windows too short", "((i + 1) * in + out - 1) / out", "(i + 1) * in / out"),
    Mutation(
        "adaptive windows not divided", "const int first = i * in / out,", "const int first = i,"
    ),
    Mutation("sum instead of mean", "return sum * mean_factor(p, rows, cols);", "return sum;"),
    Mutation("divisor ignored", "p.divisor ? p.divisor : rows.counted", "rows.counted"),
    Mutation("mean's gradient not divided", "grad *= mean_factor(p, rows, cols);", ""),
    Mutation("mean's gradient of one window", "b * LANES) += grad;)", "b * LANES) = grad;)"),
    Mutation(
        "maximum's gradient of one window",
        "(dx + (h * p.in_w + w) * p.lanes + b * LANES) +=\n",
        "(dx + (h * p.in_w + w) * p.lanes + b * LANES) =\n",
    ),
    Mutation(
        "gradient of pooling not cleared",
        "memset(dx, 0, (size_t)p.in_h * p.in_w * p.lanes * 4);",
        "",
    ),
    Mutation("gradient to all maxima of a window", "if (p.mode == 0) assigned |= is_max;", ""),
    Mutation("equal elements share no gradient", "grad /= equal;", ""),
    Mutation(
        "one channel's scale for all",
        "image[c * m.h * m.w + pixel] * scale[c]",
        "image[c * m.h * m.w + pixel] * scale[0]",
    ),
    Mutation("images as a map not shifted", "* scale[c] + shift[c]);", "* scale[c]);"),
    Mutation(
        "one channel's shift for all", "pixel * scale[c] + shift[c]", "pixel * scale[c] + shift[0]"
    ),
)

_FUNCTIONS = (
    Mutation("exponential of another base", "x * 1.44269504f", "x * 1.4f"),
    Mutation("exponential without a term", "p = p * f + 2.4022651e-1f;", "p = p * f;"),
    Mutation(
        "exponential of a small number", "t > 126.0f, constant(126.0f)", "t > 2.0f, constant(2.0f)"
    ),
    Mutation("sigmoid mirrored", "1.0f / (1.0f + exp_of(-x))", "1.0f / (1.0f + exp_of(x))"),
    Mutation("hyperbolic tangent of half", "exp_of(2.0f * x)", "exp_of(x)"),
    Mutation("error function even", "return blend(x < 0.0f, -y, y);", "return y;"),
    Mutation("error function less accurate", "p = p * t - 0.284496736f;", "p = p * t - 0.2f;"),
    Mutation("density of another width", "exp_of(-0.5f * x * x)", "exp_of(-x * x)"),
    Mutation("clamped from below only", "return blend(x > high, constant(high), x);", "return x;"),
    Mutation("derivative of ReLU", "blend(x > 0.0f, constant(1), constant(0))", "constant(1)"),
    Mutation("derivative of leaky ReLU", "constant(1), constant(0.2", "constant(1), constant(0.3"),
    Mutation("derivative of ELU", "constant(1), 0.7f", "constant(1), 0.9f"),
    Mutation("derivative of clamp", "(x >= -0.4", "(x >= -0.9"),
    Mutation("derivative of hardtanh", "(x > -1.0f) & (x < 1.0f)", "(x < 1.0f)"),
    Mutation(
        "derivative of sigmoid", "(sigmoid_of(x) * (1.0f - sigmoid_of(x)))", "(sigmoid_of(x))"
    ),
    Mutation("derivative of tanh", "(1.0f - tanh_of(x) * tanh_of(x))", "(1.0f - tanh_of(x))"),
    Mutation("derivative of SiLU", "(1.0f + x * (1.0f - sigmoid_of(x)))", "(1.0f + x)"),
    Mutation("derivative of GELU", "(normal_cdf(x) + x * normal_pdf(x))", "(normal_cdf(x))"),
    Mutation("derivative of the other GELU", "+ 0.21406459f * x * x", "+ 0.071354f * x * x"),
    Mutation("derivative of hardswish", "x * (1.0f / 3) + 0.5f", "x * (1.0f / 6) + 0.5f"),
    Mutation(
        "derivative of hardsigmoid",
        "constant(1.0f / 6), constant(0)",
        "constant(1.0f / 3), constant(0)",
    ),
    Mutation(
        "derivative of another number",
        "load(g + at) * (DERIVATIVE_",
        "(0.0f * load(g + at) + 1.0f) * (DERIVATIVE_",
    ),
)

# By the net that shows them best, of fixtures/compiled_nets.py.
_SHARED_KERNELS = (
    Mutation("each channel with the first kernel", "(t.o + o) % s.kernels", "(t.o + o) * 0"),
    Mutation("gradient of the first channel only", "o < s.out; o += s.kernels", "o == kernel; o++"),
    Mutation(
        "a kernel's gradient not added to that of another layer",
        "t.add_weight ? *to + sum : sum",
        "sum",
    ),
    Mutation(
        "the last kernel without a gradient",
        "smaller(out_to, s.kernels)",
        "smaller(out_to, s.kernels - 1)",
    ),
)

_TAKE = (
    Mutation("columns as they are", "rows[h], columns[w]", "rows[h], w"),
    Mutation("rows as they are", "rows[h], columns[w]", "h, columns[w]"),
    Mutation(
        "a repeated place with the gradient of its last copy",
        "columns[w]) * in_map.lanes + b * LANES) +=",
        "columns[w]) * in_map.lanes + b * LANES) =",
    ),
    Mutation("gradient by the old rows", "(rows[h] * in_map.w +", "(h * in_map.w +"),
)

STEP = {
    "with_norms": (
        *LIES,
        *_CONVOLUTION,
        *_DEPTHWISE,
        *_NORM,
        *_ACTIVATION,
        *_HEAD_AND_LOSS,
        *_BATCHES_AND_THREADS,
    ),
    "linear_layers": _LINEAR,
    "Gated": _GATED,
    "Joined": _JOINED,
    "Residual": _RESIDUAL,
    "Weighed": _TRANSPOSE,
    "SharedKernels": _SHARED_KERNELS,
    "Taken": _TAKE,
    "Poolings": _POOLING,
    "Functions": _FUNCTIONS,
}

AUGMENTATION = (
    Mutation(
        "normalization multiplied",
        "(to[p] / 255 - a->mean) / a->std",
        "(to[p] / 255 - a->mean) * a->std",
    ),
    Mutation("mean left out", "(to[p] / 255 - a->mean)", "(to[p] / 255)"),
    Mutation("gray levels of 256", "to[p] / 255", "to[p] / 256"),
    Mutation("the map of the first image for all", "op[k].maps + (int64_t)i * 6", "op[k].maps"),
    Mutation(
        "images not selected",
        "images + (a->index[i] * a->channels + c)",
        "images + (i * a->channels + c)",
    ),
    Mutation(
        "one channel for all",
        "(a->index[i] * a->channels + c) * size",
        "(a->index[i] * a->channels) * size",
    ),
    Mutation("gray levels outside always 0", "memset(padded, fill,", "memset(padded, 0,"),
    Mutation("the map transposed", "map[1] * dy + map[2]", "map[3] * dy + map[2]"),
    Mutation("the center of another size", "mid_x = (w - 1) / 2.0f", "mid_x = w / 2.0f"),
    Mutation("rows and columns swapped", "mid_y = (h - 1) / 2.0f", "mid_y = (w - 1) / 2.0f"),
    Mutation("nearest without rounding", "sx + 0.5f + HALF_UP", "sx"),
    Mutation("bilinear over columns only", "above + frac_y * (below - above)", "above"),
    Mutation("the pixel below twice", "c + frac_x * (d - c)", "c + frac_x * (d - a)"),
    Mutation("displacement of the first image", "((int64_t)image * 2 + axis)", "((int64_t)axis)"),
    Mutation(
        "one axis displaced twice",
        "displacement[(h + y) * w + x + i]",
        "displacement[y * w + x + i]",
    ),
    Mutation(
        "row weights for columns", "op->col_weights[x * p + j]", "op->row_weights[(x % h) * p + j]"
    ),
    Mutation(
        "elastic part ignored where nearest", "op[k].points ? displacement : NULL, 1", "NULL, 1"
    ),
    Mutation("only the last op", "if (k) {\n", "if (0) {\n"),
    Mutation("cut off one pixel too early", "sx = clamp(sx, -2, w)", "sx = clamp(sx, 0, w)"),
    Mutation("cut off far right", "sy = clamp(sy, -2, h);", "sy = clamp(sy, -2, h - 1);"),
)
