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
        "pack_image(first, images + (size_t)i * first.in * first.in_h * first.in_w,\n"
        "                       arena->x[0] + thread * x_size(first));",
        "pack_image(first, images + (size_t)(i % 16) * first.in * first.in_h * first.in_w,\n"
        "                       arena->x[0] + thread * x_size(first));",
    ),
    Mutation("running mean never updated", "t.mean[c] += t.momentum *", "t.mean[c] += 0 *"),
    Mutation("running variance never updated", "t.var[c] += t.momentum *", "t.var[c] += 0 *"),
    Mutation(
        "label smoothing ignored",
        "Arena *arena = arena_of(net);\n    const Stage first",
        "Arena *arena = arena_of(net);\n    smoothing = 0;\n    const Stage first",
    ),
    Mutation("dropout without its scale", "training ? 1 / (1 - net->stage[k].dropout) : 1}", "1}"),
)

STEP = (
    *LIES,
    # convolution
    Mutation("a tap left out", "i < last; i++", "i < last - 1; i++"),
    Mutation("the first tap left out", "int i = first;", "int i = first + 1;"),
    Mutation("bias omitted", "vec initial = bias ? load_f32", "vec initial = 0 ? load_f32"),
    Mutation("depthwise bias omitted", "const vec initial = bias ?", "const vec initial = 0 ?"),
    Mutation("wrong stride of rows", "s.stride * x_row(s),", "x_row(s),"),
    Mutation("wrong stride of columns", "s.stride * pitch(s),", "pitch(s),"),
    Mutation("zero rows skipped wrongly", "above > 0 ? above : 0", "above > 0 ? above + 1 : 0"),
    Mutation("last rows skipped wrongly", "last = below < s.kernel", "last = below <= s.kernel"),
    Mutation("batch sum without squares", "square[b] += v * v;", "square[b] += v;"),
    Mutation("sum of the first tile only", "sum[b] += v, square", "sum[b] = v, square"),
    Mutation("backward weights not mirrored", "(k - 1 - c) * back_pitch", "c * back_pitch"),
    Mutation("backward rows not mirrored", "(((k - 1 - r) * (back", "(((r) * (back"),
    Mutation("depthwise not mirrored", "(k * k - 1 - tap)", "(tap)"),
    Mutation("channels swapped", "forward[((r * (", "forward[(o ^ 1) - o + ((r * ("),
    Mutation("wrong padding of the input", "(h + next.padding) * x_row", "(h) * x_row"),
    Mutation("image in the wrong column", "(w + s.padding) * pitch(s) + c", "(w) * pitch(s) + c"),
    Mutation("wrong image channel", "image[(c * s.in_h + h)", "image[(0 * s.in_h + h)"),
    Mutation(
        "weight gradient of one image", "+=\n                    a[", "=\n                    a["
    ),
    Mutation(
        "weight gradient without a row",
        "ROLLED for (int h = 0; h < s.h; h++) {\n",
        "ROLLED for (int h = 1; h < s.h; h++) {\n",
    ),
    Mutation("weight gradient ignores stride", "(h * s.stride * x_row(s) + w", "(h * x_row(s) + w"),
    Mutation(
        "depthwise gradient ignores stride", "x + s.stride * (r * x_row(s)", "x + (r * x_row(s)"
    ),
    Mutation(
        "input gradient shifted",
        "edge = s.kernel - 1 - s.padding;\n    ROLLED for (int b = 0; b < all",
        "edge = s.kernel - 1;\n    ROLLED for (int b = 0; b < all",
    ),
    Mutation("no bias gradient", "if (s.bias) bias += d[i];", ""),
    # batch norm
    Mutation("epsilon left out", "sqrt(var + t.epsilon)", "sqrt(var)"),
    Mutation("biased running variance", "var * count / (count - 1)", "var"),
    Mutation("mean of another count", "mean = sum / count;", "mean = sum / (count + s.w);"),
    Mutation("variance around zero", "square / count - mean * mean", "square / count"),
    Mutation(
        "gamma left out", "ws.scale[c] = ws.inv_std[c] * t.gamma[c]", "ws.scale[c] = ws.inv_std[c]"
    ),
    Mutation("beta left out", "ws.shift[c] = t.beta[c] - ", "ws.shift[c] = -"),
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
    Mutation("beta's gradient doubled", "t.d_beta[c] = sum,", "t.d_beta[c] = 2 * sum,"),
    Mutation(
        "gamma's gradient without its sign",
        "t.d_gamma[c] = sum_dzy",
        "t.d_gamma[c] = fabsf(sum_dzy)",
    ),
    Mutation("sums not cleared between steps", "memset(ws.sum, 0, lanes(s) * 4);", ""),
    Mutation("squares not cleared between steps", "memset(ws.square, 0, lanes(s) * 4);", ""),
    Mutation("weight gradients not cleared", "memset(ws.d_weight, 0, w_size(s) * 4);", ""),
    Mutation("bias gradients not cleared", "memset(ws.d_bias, 0, lanes(s) * 4);", ""),
    Mutation(
        "forward sums kept in the backward pass",
        "memset(arena->workspace[thread][k].sum, 0,",
        "memset(arena->workspace[thread][k].sum, 0, 0 *",
    ),
    # activation, dropout, pooling
    Mutation("no ReLU", "return s.relu ? relu_of(y) : y;", "return y;"),
    Mutation("ReLU's gradient everywhere", "if (s.relu) g = blend(", "if (0) g = blend("),
    Mutation(
        "dropout's gradient not masked",
        "if (s.dropout) g = blend(expand_mask(conv.masks[at / LANES]), g *",
        "if (s.dropout) g = blend((int_vec){0} - 1, g *",
    ),
    Mutation("dropout's gradient not scaled", "g * conv.dropout_scale, g - g", "g, g - g"),
    Mutation("the same mask for all images", "(uint32_t)(image * vectors + i)", "(uint32_t)i"),
    Mutation("the same mask in all stages", "seed + k, ", "seed, "),
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
        "UNROLLED for (int i = 0; i < 4; i++) {\n                    const int pixel",
        "UNROLLED for (int i = 0; i < 3; i++) {\n                    const int pixel",
    ),
    # head and loss
    Mutation(
        "average over the wrong number",
        "sum * (1.0f / (last.out_h * last.out_w))",
        "sum * (1.0f / (last.out_h * last.out_w + 1))",
    ),
    Mutation("no bias of the head", "HEAD_BIAS ? net->head_bias[c] : 0", "0"),
    Mutation(
        "a feature left out",
        "for (int i = 0; i < last.out; i++) sum +=",
        "for (int i = 1; i < last.out; i++) sum +=",
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
    Mutation("counts wrong predictions", "correct += best == label;", "correct += best != label;"),
    Mutation(
        "gradient of the head doubled",
        "d_head[c * all + i] += d *",
        "d_head[c * all + i] += 2 * d *",
    ),
    Mutation("the head's bias gradient left out", "d_bias[c] += d;", ""),
    # batches and threads
    Mutation(
        "the last image left out",
        "to = split_start(n, thread + 1, net->threads);\n",
        "to = split_start(n, thread + 1, net->threads) - (n > 3);\n",
    ),
    Mutation(
        "images shared out with a gap",
        "i < split_start(n, thread + 1, net->threads); i++)",
        "i < split_start(n - 1, thread + 1, net->threads); i++)",
    ),
    Mutation(
        "one thread's sums only",
        "for (int i = 0; i < net->threads; i++)\n                sum +=",
        "for (int i = 0; i < 1; i++)\n                sum +=",
    ),
    Mutation(
        "one thread's weight gradients only",
        "for (int a = 0; a < net->threads; a++)\n                        sum +=",
        "for (int a = 0; a < 1; a++)\n                        sum +=",
    ),
    Mutation(
        "kernel transposed",
        "* kernel + r) * kernel + c] = sum",
        "* kernel + c) * kernel + r] = sum",
    ),
    Mutation(
        "weights of the first step kept",
        "if (s.depthwise) {\n        for (int o",
        "if (forward[0]) return;\n    if (s.depthwise) {\n        for (int o",
    ),
    Mutation(
        "one image too few in memory",
        "IMAGES * x_size(s) * sizeof(elem)",
        "(IMAGES - 1) * x_size(s) * sizeof(elem)",
    ),
    Mutation(
        "the last images scored as the first",
        "logits + (size_t)i * CLASSES",
        "logits + (size_t)(i % 20) * CLASSES",
    ),
)

AUGMENTATION = (
    Mutation(
        "normalization multiplied", "(to[p] / 255 - mean) / std", "(to[p] / 255 - mean) * std"
    ),
    Mutation("mean left out", "(to[p] / 255 - mean)", "(to[p] / 255)"),
    Mutation("gray levels of 256", "to[p] / 255", "to[p] / 256"),
    Mutation("the map of the first image for all", "op[k].maps + (int64_t)i * 6", "op[k].maps"),
    Mutation(
        "images not selected", "images + (index[i] * channels + c)", "images + (i * channels + c)"
    ),
    Mutation(
        "one channel for all", "(index[i] * channels + c) * size", "(index[i] * channels) * size"
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
