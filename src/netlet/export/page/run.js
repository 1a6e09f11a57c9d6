// The net's arithmetic: the layers of netlet's graph (ship/graph.py), one image at a time. A map is a Float32Array,
// C H W; sums run in 64 bits.

/** All maps for an image of 28x28 grey levels, the image first, the logits last. */
function run(net, image) {
  const maps = [Float32Array.from(image)], shapes = [[1, SIZE, SIZE]];
  for (const layer of net.layers) {
    const read = layer.inputs.map((number) => maps[number]), from = layer.inputs.map((number) => shapes[number]);
    maps.push(OPERATIONS[layer.kind](layer, read, from, net.weights));
    shapes.push(layer.shape);
  }
  return maps;
}

function softmax(logits) {
  const highest = Math.max(...logits), powers = Array.from(logits, (z) => Math.exp(z - highest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
}

const OPERATIONS = {
  convolution,
  "max pooling": (layer, read, from) => pooling(layer, read[0], from[0]),
  "mean pooling": (layer, read, from) => pooling(layer, read[0], from[0]),
  sum: (layer, [a, b]) => keptWithin(layer.clamp, a.map((v, i) => v + b[Math.floor((i * b.length) / a.length)])),
  product: (layer, [a, b]) => a.map((v, i) => v * b[Math.floor((i * b.length) / a.length)]),
  concatenation: (layer, read) => Float32Array.from(read.flatMap((map) => Array.from(map))),
  activation: ({ function: name, parameter, bounds }, [x]) =>
    name === "clamp" ? keptWithin(bounds, x.slice()) : x.map((v) => FUNCTIONS[name](v, parameter)),
};

function convolution(layer, [x], [[channels, height, width]], weights) {
  const [outs, rows, columns] = layer.shape, [tall, wide] = layer.window, { groups } = layer;
  const each = channels / groups;
  const down = taps(tall, layer.dilation[0], layer.padding[0], layer.stride[0], height, rows);
  const across = taps(wide, layer.dilation[1], layer.padding[1], layer.stride[1], width, columns);
  const [stepDown, stepAcross] = layer.stride;
  const out = new Float32Array(outs * rows * columns), sums = new Float64Array(rows * columns);
  let at = layer.weight;
  for (let o = 0; o < outs; o++) {
    sums.fill(weights[layer.bias + o]);
    const first = Math.floor((o * groups) / outs) * each;
    for (let c = first; c < first + each; c++) {
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
  return keptWithin(layer.clamp, out);
}

/** For each tap of a window: where it begins, and for which new elements it lies on the map, not in the padding. */
function taps(size, dilation, padding, stride, length, many) {
  return Array.from({ length: size }, (_, k) => {
    const offset = k * dilation - padding;
    const first = Math.max(0, Math.ceil(-offset / stride));
    return { offset, first, end: Math.min(many, Math.floor((length - 1 - offset) / stride) + 1) };
  });
}

function pooling(layer, x, [channels, height, width]) {
  const [, rows, columns] = layer.shape, [tall, wide] = layer.window, [top, left] = layer.padding;
  const out = new Float32Array(channels * rows * columns);
  for (let at = 0; at < out.length; at++) {
    const c = Math.floor(at / (rows * columns)), row = Math.floor(at / columns) % rows, column = at % columns;
    const y = row * layer.stride[0] - top, begin = column * layer.stride[1] - left;
    let largest = -Infinity, sum = 0, seen = 0;
    for (let i = Math.max(y, 0); i < Math.min(y + tall, height); i++) {
      for (let j = Math.max(begin, 0); j < Math.min(begin + wide, width); j++) {
        const value = x[(c * height + i) * width + j];
        if (value > largest) largest = value;
        sum += value;
        seen++;
      }
    }
    out[at] = layer.how === "max" ? largest : sum / (layer.counts_padding ? tall * wide : seen);
  }
  return out;
}

/** A map with what lies beyond two bounds put onto them, in place; null is no bound. */
function keptWithin([low, high], map) {
  if (low !== null) for (let i = 0; i < map.length; i++) if (map[i] < low) map[i] = low;
  if (high !== null) for (let i = 0; i < map.length; i++) if (map[i] > high) map[i] = high;
  return map;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const hardsigmoid = (x) => clamped(x / 6 + 0.5, 0, 1);

const FUNCTIONS = {
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

/** The error function by its series of terms of one sign (Abramowitz and Stegun 7.1.6); beyond 6 it is 1 in 64 bits. */
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}
