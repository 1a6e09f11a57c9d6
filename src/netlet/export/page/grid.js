// Rows and columns of numbers: resizing as Pillow does it, blurring and nearest pixels as SciPy does.

const FILTERS = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
};

/** Resize levels to w x h: along the rows first, each result rounded to 32 bits. */
function resize(levels, width, height, w, h, name) {
  let resized = Float32Array.from(levels);
  if (w !== width) {
    const from = resized, targets = filterWeights(width, w, FILTERS[name]);
    resized = new Float32Array(w * height);
    for (let y = 0; y < height; y++) {
      targets.forEach(({ first, weights }, x) => {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += from[y * width + first + i] * weights[i];
        resized[y * w + x] = sum;
      });
    }
  }
  if (h !== height) {
    const from = resized, targets = filterWeights(height, h, FILTERS[name]);
    resized = new Float32Array(w * h);
    targets.forEach(({ first, weights }, y) => {
      for (let x = 0; x < w; x++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += from[(first + i) * w + x] * weights[i];
        resized[y * w + x] = sum;
      }
    });
  }
  return resized;
}

/** For each of m target pixels: the first of n source pixels that it depends on, and their weights. */
function filterWeights(n, m, { support, weight }) {
  const scale = n / m, stretch = Math.max(scale, 1), reach = support * stretch;
  return Array.from({ length: m }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5)), end = Math.min(n, Math.trunc(center + reach + 0.5));
    const weights = Array.from({ length: end - first }, (_, k) => weight((k + first - center + 0.5) * (1 / stretch)));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((v) => v / sum) };
  });
}

/** A Gaussian filter of standard deviation `sigma`, cut off at four of them, with reflected borders. */
function blur(levels, width, height, sigma) {
  const radius = Math.floor(4 * sigma + 0.5);
  const bell = Array.from({ length: radius + 1 }, (_, i) => Math.exp((-0.5 / sigma ** 2) * i * i));
  const sum = bell.reduce((a, b) => a + 2 * b, -1), weights = bell.map((v) => v / sum);
  const along = (values, length, stride, start) => {
    const reflected = (i) => {
      const at = ((i % (2 * length)) + 2 * length) % (2 * length);
      return values[start + stride * (at < length ? at : 2 * length - 1 - at)];
    };
    return Array.from({ length }, (_, i) => {
      let total = reflected(i) * weights[0];
      for (let k = radius; k > 0; k--) total += (reflected(i - k) + reflected(i + k)) * weights[k];
      return total;
    });
  };
  const down = new Float64Array(levels.length), both = new Float64Array(levels.length);
  for (let x = 0; x < width; x++) along(levels, height, width, x).forEach((v, y) => { down[y * width + x] = v; });
  for (let y = 0; y < height; y++) both.set(along(down, width, 1, y * width), y * width);
  return both;
}

/**
 * For each pixel the nearest marked one, of several the one that SciPy's distance_transform_edt finds: the leftmost, then
 * the uppermost; -1 if none is marked. First along the columns, then along the rows by the borders of Voronoi cells.
 */
function nearestMarked(marks, width, height) {
  const inColumn = new Int32Array(marks.length).fill(-1), nearest = new Int32Array(marks.length).fill(-1);
  for (let x = 0; x < width; x++) {
    for (let y = 0, last = -1; y < height; y++) {
      if (marks[y * width + x]) last = y;
      inColumn[y * width + x] = last;
    }
    for (let y = height - 1, next = -1; y >= 0; y--) {
      const at = y * width + x, above = inColumn[at];
      if (marks[at]) next = y;
      if (next >= 0 && (above < 0 || next - y < y - above)) inColumn[at] = next;
    }
  }
  const sites = new Int32Array(width);
  for (let y = 0; y < height; y++) {
    const away = (x) => (inColumn[y * width + x] - y) ** 2; // squared, of the nearest pixel in a column
    let number = 0;
    for (let x = 0; x < width; x++) {
      if (inColumn[y * width + x] < 0) continue;
      for (; number > 1; number--) {
        const [first, middle] = [sites[number - 2], sites[number - 1]], a = middle - first, b = x - middle, c = a + b;
        if (c * away(middle) - b * away(first) - a * away(x) - a * b * c <= 0) break;
      }
      sites[number++] = x;
    }
    if (!number) continue;
    const to = (site, x) => away(site) + (site - x) ** 2;
    for (let x = 0, i = 0; x < width; x++) {
      while (i + 1 < number && to(sites[i], x) > to(sites[i + 1], x)) i++;
      nearest[y * width + x] = inColumn[y * width + sites[i]] * width + sites[i];
    }
  }
  return nearest;
}
