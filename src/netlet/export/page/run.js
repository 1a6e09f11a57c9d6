// Inference: runs the layers of netlet's graph (export/graph.py) on one image. A feature map is a Float32Array, C H W;
// sums are computed in 64 bits.

/** All feature maps for an image, levels C H W from 0 to 255: the image first, the logits last. */
function run(net, image) {
  const maps = [Float32Array.from(image)], shapes = [net.shape];
  for (const layer of net.layers) {
    const inputs = layer.inputs.map((number) => maps[number]);
    const inputShapes = layer.inputs.map((number) => shapes[number]);
    maps.push(OPERATIONS[layer.kind](layer, inputs, inputShapes, net.weights));
    shapes.push(layer.shape);
  }
  return maps;
}

/**
 * The answer of a net, as netlet.evaluation.apply_confidence in Python: the probability of each class, the most likely
 * and the next class, and whether the net is unsure. `confidence` is null if it is not calibrated.
 */
function judge(logits, image, confidence) {
  const digit = confidence?.detector ? digitProbability(confidence.detector, image) : 1;
  const probabilities = softmax(logits, confidence?.temperature ?? 1).map((p) => p * digit);
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  const [best, next] = order, highest = probabilities[best];
  return { probabilities, best, next, confidence: highest, unsure: highest < (confidence?.threshold ?? 0) };
}

/** The probability that an image is a handwritten digit, as netlet.evaluation.digit_detector in Python. */
function digitProbability(detector, image) {
  const size = SIZE * SIZE, channels = image.length / size;
  const gray = Array.from({ length: size }, (_, i) => {
    let sum = 0;
    for (let at = i; at < image.length; at += size) sum += image[at];
    return Math.round(sum / channels);
  });
  const [otherwise, digit] = run(detector, gray).at(-1);
  return sigmoid(digit - otherwise + detector.shift);
}

function softmax(logits, temperature) {
  const highest = Math.max(...logits);
  const powers = Array.from(logits, (z) => Math.exp((z - highest) / temperature));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
}

const OPERATIONS = {
  convolution,
  crop: (layer, [x], [shape]) => pooling(layer, x, shape),
  "max pooling": (layer, [x], [shape]) => pooling(layer, x, shape),
  "mean pooling": (layer, [x], [shape]) => pooling(layer, x, shape),
  sum: (layer, [a, b]) => clampMap(layer.clamp, a.map((v, i) => v + b[Math.floor((i * b.length) / a.length)])),
  product: (layer, [a, b]) => a.map((v, i) => v * b[Math.floor((i * b.length) / a.length)]),
  concatenation: (layer, inputs) => Float32Array.from(inputs.flatMap((map) => Array.from(map))),
  constant: ({ values }) => Float32Array.from(values),
  normalization,
  prelu: ({ slopes, shape }, [x]) =>
    x.map((v, i) => (v < 0 ? slopes[Math.floor(i / (shape[1] * shape[2]))] * v : v)),
  rearrangement,
  resampling,
  activation: ({ function: name, parameter, bounds }, [x]) =>
    name === "clamp" ? clampMap(bounds, x.slice()) : x.map((v) => FUNCTIONS[name](v, parameter)),
};

function convolution(layer, [x], [[channels, height, width]], weights) {
  const [outs, rows, columns] = layer.shape, [tall, wide] = layer.window, { groups } = layer;
  const perGroup = channels / groups;
  const down = taps(tall, layer.dilation[0], layer.padding[0], layer.stride[0], height, rows);
  const across = taps(wide, layer.dilation[1], layer.padding[1], layer.stride[1], width, columns);
  const [stepDown, stepAcross] = layer.stride;
  const out = new Float32Array(outs * rows * columns), sums = new Float64Array(rows * columns);
  let at = layer.weight;
  for (let o = 0; o < outs; o++) {
    sums.fill(weights[layer.bias + o]);
    const first = Math.floor((o * groups) / outs) * perGroup;
    for (let c = first; c < first + perGroup; c++) {
      for (const v of down) {
        for (const h of across) {
          const weight = weights[at++];
          for (let i = v.first; i < v.end; i++) {
            let from = (c * height + v.offset + i * stepDown) * width + h.offset + h.first * stepAcross;
            for (let to = i * columns + h.first; to < i * columns + h.end; to++, from += stepAcross) {
              sums[to] += weight * x[from];
            }
          }
        }
      }
    }
    out.set(sums, o * rows * columns);
  }
  return clampMap(layer.clamp, out);
}

/** For each tap of a window: its offset in the input, and the outputs for which it lies inside, not in the padding. */
function taps(size, dilation, padding, stride, length, outputs) {
  return Array.from({ length: size }, (_, k) => {
    const offset = k * dilation - padding;
    const first = Math.max(0, Math.ceil(-offset / stride));
    return { offset, first, end: Math.min(outputs, Math.floor((length - 1 - offset) / stride) + 1) };
  });
}

function pooling(layer, x, [channels, height, width]) {
  const [, rows, columns] = layer.shape, [tall, wide] = layer.window, [top, left] = layer.padding;
  const out = new Float32Array(channels * rows * columns);
  for (let at = 0; at < out.length; at++) {
    const c = Math.floor(at / (rows * columns)), row = Math.floor(at / columns) % rows, column = at % columns;
    const y0 = row * layer.stride[0] - top, x0 = column * layer.stride[1] - left;
    let largest = -Infinity, sum = 0, count = 0;
    for (let i = Math.max(y0, 0); i < Math.min(y0 + tall, height); i++) {
      for (let j = Math.max(x0, 0); j < Math.min(x0 + wide, width); j++) {
        const value = x[(c * height + i) * width + j];
        if (value > largest) largest = value;
        sum += value;
        count++;
      }
    }
    out[at] = layer.mode === "max" ? largest : sum / (layer.count_include_pad ? tall * wide : count);
  }
  return out;
}

/** Elements in other places: the sum of three numbers is a place in the input, H W C; -1 is a constant. */
function rearrangement({ rows, columns, channels, fill, shape }, [x], [[depth, height, width]]) {
  const out = new Float32Array(shape[0] * shape[1] * shape[2]);
  let at = 0;
  for (const channel of channels) {
    for (const row of rows) {
      for (const column of columns) {
        const place = row + column + channel;
        out[at++] = Math.min(row, column, channel) < 0 ? fill
          : x[(place % depth) * height * width + Math.floor(place / depth)];
      }
    }
  }
  return out;
}

/** Weighted sums of rows and columns: down times the map times across, transposed. */
function resampling({ down, across, shape }, [x], [[channels, height, width]]) {
  const out = new Float32Array(shape[0] * shape[1] * shape[2]);
  let at = 0;
  for (let c = 0; c < channels; c++) {
    for (const vertical of down) {
      for (const horizontal of across) {
        let sum = 0;
        vertical.forEach((weight, i) => {
          const row = (c * height + i) * width;
          if (weight) horizontal.forEach((other, j) => { sum += weight * other * x[row + j]; });
        });
        out[at++] = sum;
      }
    }
  }
  return out;
}

/** Groups of channels, of each pixel or of the whole map, minus their mean and divided by their deviation. */
function normalization({ groups, per_pixel: perPixel, eps }, [x], [[channels, height, width]]) {
  const out = new Float32Array(x.length), size = height * width, deep = channels / groups;
  const pixels = perPixel ? size : 1, [length, step] = perPixel ? [deep, size] : [deep * size, 1];
  for (let g = 0; g < groups; g++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      const first = g * deep * size + pixel;
      let mean = 0, variance = 0;
      for (let i = 0; i < length; i++) mean += x[first + i * step] / length;
      for (let i = 0; i < length; i++) variance += (x[first + i * step] - mean) ** 2 / length;
      const scale = 1 / Math.sqrt(variance + eps);
      for (let i = 0; i < length; i++) out[first + i * step] = (x[first + i * step] - mean) * scale;
    }
  }
  return out;
}

/** Clamp a feature map in place; a null bound is none. */
function clampMap([low, high], map) {
  if (low !== null) for (let i = 0; i < map.length; i++) if (map[i] < low) map[i] = low;
  if (high !== null) for (let i = 0; i < map.length; i++) if (map[i] > high) map[i] = high;
  return map;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const hardsigmoid = (x) => clamp(x / 6 + 0.5, 0, 1);

const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const FUNCTIONS = {
  abs: Math.abs,
  exp: Math.exp,
  mish: (x) => x * Math.tanh(softplus(x)),
  softplus,
  leaky_relu: (x, slope) => (x < 0 ? slope * x : x),
  elu: (x, alpha) => (x < 0 ? alpha * Math.expm1(x) : x),
  hardsigmoid,
  hardswish: (x) => x * hardsigmoid(x),
  sigmoid,
  tanh: Math.tanh,
  silu: (x) => x * sigmoid(x),
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  gelu_tanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

/** The error function, by a series without cancellation (Abramowitz and Stegun 7.1.6); beyond 6 it is 1 in 64 bits. */
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}
