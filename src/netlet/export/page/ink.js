// The pen strokes in a picture, whatever the paper's brightness, lighting and grain: netlet.data.ink in Python, which
// explains the steps and the constants.

const PAPER_SIDE = 64, TWO_LEVELS_SHARE = 0.85, FIT_ITERATIONS = 12, PEN_WEIGHT = 0.01;
const MIN_CONTRAST = 10, MIN_GRAIN_SDS = 5, EDGE_GRAIN_SDS = 3, EDGE_LEVEL = 0.1, EDGE_WIDTH = 0.05;
const SPECK_AREA = 0.02, MIN_DIGIT = 6, MIN_DIGIT_SHARE = 0.015, BROAD = 0.5, SOLID = 0.8, MOST_DIGITS = 32;
const MIN_PEN = 2;

/**
 * @param gray levels 0 to 255
 * @returns for each character, from left to right, its ink `levels`, 0 paper to 255 ink, in a box of the picture
 * @throws if nothing is drawn there, a solid area, or more than 32 characters
 */
function extractInks(gray, width, height) {
  const [low, high] = extremes(gray);
  const contrast = high - low <= MIN_CONTRAST ? new Float64Array(gray.length) : subtractPaper(gray, width, height);
  const grain = 1.4826 * percentiles(contrast.filter((v) => v <= 0).map((v) => -v), [50])[0];
  const core = findStrokes(contrast, width, height, grain), digits = groupPieces(core, width, height);
  const number = digits.reduce((a, b) => Math.max(a, b), 0);
  if (number > MOST_DIGITS) {
    throw new Error(`${number} ${net.words.many} side by side; crop the picture to at most ${MOST_DIGITS}`);
  }
  let longer = 0;
  for (let n = 1; n <= number; n++) longer = Math.max(longer, checkStrokes(digits.map((d) => d === n), width, height));
  const full = percentiles(contrast.filter((_, i) => core[i]), [75])[0];
  const near = dilate(core, width, height, Math.max(2, roundHalfEven(EDGE_WIDTH * longer)));
  const least = Math.max(EDGE_LEVEL * full, EDGE_GRAIN_SDS * grain);
  const levels = contrast.map((v, i) => (core[i] || (near[i] && v > least) ? clamp((255 * v) / full, 0, 255) : 0));
  const nearest = number === 1 ? null : nearestMarked(digits, width, height);
  return Array.from({ length: number }, (_, i) => cutOut(
    nearest ? levels.map((v, at) => (digits[nearest[at]] === i + 1 ? v : 0)) : levels, digits.map((d) => d === i + 1),
    width, height));
}

function extremes(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Round to the nearest whole number, and halves to the even one, as Python and NumPy do. */
function roundHalfEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

/** The longer side of a character's strokes. */
function checkStrokes(core, width, height) {
  const box = boundingBox(core, width, height), area = core.reduce((sum, v) => sum + v, 0);
  const longer = Math.max(box.height, box.width), shorter = Math.min(box.height, box.width);
  if (shorter > BROAD * longer && area / (box.height * box.width) > SOLID) {
    throw new Error("a solid area instead of strokes (a shadow, or the table under the paper?); crop the picture");
  }
  return longer;
}

/** The ink of one character, cropped, with a pen that is not too thin. */
function cutOut(levels, core, width, height) {
  const box = boundingBox(levels, width, height), strokes = boundingBox(core, width, height);
  const { levels: broad, margin } = broadenThinPen(
    crop(levels, width, box), crop(core, width, box), box, Math.max(strokes.height, strokes.width));
  return {
    levels: Uint8Array.from(broad, roundHalfEven), y: box.y - margin, x: box.x - margin,
    height: box.height + 2 * margin, width: box.width + 2 * margin,
  };
}

function crop(plane, width, { y, x, height, width: columns }) {
  const cropped = new plane.constructor(height * columns);
  for (let row = 0; row < height; row++) {
    cropped.set(plane.subarray((y + row) * width + x, (y + row) * width + x + columns), row * columns);
  }
  return cropped;
}

/** Where the contrast with the paper is that of a pen. */
function findStrokes(contrast, width, height, grain) {
  const visible = contrast.filter((v) => v > Math.max(MIN_CONTRAST, MIN_GRAIN_SDS * grain));
  if (!visible.length) throw new Error("blank, nothing is drawn on it; take a sharper picture of it");
  const threshold = Math.max(
    Math.min(otsuThreshold(visible), percentiles(visible, [98])[0] / 2), EDGE_GRAIN_SDS * grain);
  const { labels, pieces } = labelPieces(Uint8Array.from(contrast, (v) => v > threshold), width, height);
  const most = pieces.reduce((a, b) => (b.area > a.area ? b : a));
  if (Math.max(most.bottom - most.top, most.right - most.left) < Math.max(MIN_DIGIT, MIN_DIGIT_SHARE * Math.max(width, height))) {
    throw new Error("blank, nothing larger than a speck is drawn on it; crop the picture");
  }
  return Uint8Array.from(labels, (label) => label && pieces[label - 1].area >= SPECK_AREA * most.area);
}

/** Each pixel's difference from the paper, positive towards the pen, about 0 on paper. */
function subtractPaper(gray, width, height) {
  const scale = Math.min(1, PAPER_SIDE / Math.max(width, height));
  const [w, h] = [width, height].map((side) => Math.max(1, roundHalfEven(side * scale)));
  let small = Float64Array.from(resize(gray, width, height, w, h, "box")), sign = 1;
  const threshold = otsuThreshold(small), upper = small.filter((v) => v > threshold);
  const lower = small.filter((v) => v <= threshold), share = upper.length / small.length;
  const between = share * (1 - share) * (mean(upper) - mean(lower)) ** 2;
  const level = mean(small), variance = mean(small.map((v) => (v - level) ** 2));
  const [light, dark] = between > TWO_LEVELS_SHARE * variance
    ? [upper, lower].map((side) => small.map(() => percentiles(side, [50])[0]))
    : [fitSurface(small, w, h), fitSurface(small.map((v) => -v), w, h).map((v) => -v)];
  let paper = light;
  if (coverage(small.map((v, i) => light[i] - v), w, h) > coverage(small.map((v, i) => v - dark[i]), w, h)) {
    [small, paper, sign] = [small.map((v) => -v), dark.map((v) => -v), -1];
  }
  const below = paper.map((v, i) => v - small[i]), [, most] = extremes(below);
  const isPaper = below.map((v) => (v < most / 4 ? 1 : 0)), sigma = Math.max(w, h) / 8;
  const deviation = blur(below.map((v, i) => v * isPaper[i]), w, h, sigma), weight = blur(isPaper, w, h, sigma);
  const corrected = Float32Array.from(paper, (v, i) => v - deviation[i] / (weight[i] + 0.05));
  return Float64Array.from(resize(corrected, w, h, width, height, "bilinear"), (v, i) => v - sign * gray[i]);
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** A second-degree surface through the lightest pixels: weighted least squares, solved by elimination. */
function fitSurface(levels, width, height) {
  const along = (i, n) => (n === 1 ? -1 : i === n - 1 ? 1 : -1 + i * (2 / (n - 1)));
  const basis = Array.from(levels, (_, at) => {
    const x = along(at % width, width), y = along(Math.floor(at / width), height);
    return [1, x, y, x * x, x * y, y * y];
  });
  const weights = levels.map(() => 1);
  let surface = levels;
  for (let n = 0; n < FIT_ITERATIONS; n++) {
    const rows = Array.from({ length: 6 }, (_, i) => Array.from({ length: 7 }, (_, j) => (i === j ? 1e-6 : 0)));
    basis.forEach((b, at) => {
      for (let i = 0; i < 6; i++) {
        const weighted = weights[at] * b[i];
        for (let j = 0; j < 6; j++) rows[i][j] += weighted * b[j];
        rows[i][6] += weighted * levels[at];
      }
    });
    const factors = solve(rows);
    surface = levels.map((_, at) => basis[at].reduce((sum, b, i) => sum + b * factors[i], 0));
    levels.forEach((level, at) => { weights[at] = level > surface[at] ? 1 : PEN_WEIGHT; });
  }
  return surface;
}

/** Solve linear equations; each row has its right side at the end. */
function solve(rows) {
  for (let i = 0; i < rows.length; i++) {
    const pivot = rows.slice(i).reduce((best, row) => (Math.abs(row[i]) > Math.abs(best[i]) ? row : best));
    [rows[rows.indexOf(pivot)], rows[i]] = [rows[i], pivot];
    for (let k = i + 1; k < rows.length; k++) {
      const factor = rows[k][i] / pivot[i];
      rows[k] = rows[k].map((v, j) => v - factor * pivot[j]);
    }
  }
  const found = new Array(rows.length).fill(0);
  for (let i = rows.length - 1; i >= 0; i--) {
    found[i] = (rows[i].at(-1) - found.reduce((sum, v, j) => sum + (j > i ? v * rows[i][j] : 0), 0)) / rows[i][i];
  }
  return found;
}

/** The share of a picture that would be ink, plus that of its border. */
function coverage(contrast, width, height) {
  const half = extremes(contrast)[1] / 2, ink = contrast.map((v) => (v > half ? 1 : 0));
  let border = 0;
  for (let x = 0; x < width; x++) border += ink[x] + ink[(height - 1) * width + x];
  for (let y = 0; y < height; y++) border += ink[y * width] + ink[y * width + width - 1];
  return mean(ink) + border / (2 * width + 2 * height);
}

/** The threshold with the greatest variance between the levels above and below it, of 128 bins. */
function otsuThreshold(levels) {
  const bins = 128;
  let [low, high] = extremes(levels);
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const step = (high - low) / bins;
  const edges = Array.from({ length: bins + 1 }, (_, i) => (i === bins ? high : low + i * step));
  const counts = new Float64Array(bins);
  for (const level of levels) {
    let bin = Math.min(bins - 1, Math.floor(((level - low) / (high - low)) * bins));
    if (level < edges[bin]) bin--;
    else if (bin < bins - 1 && level >= edges[bin + 1]) bin++;
    counts[bin]++;
  }
  const middles = edges.slice(1).map((edge, i) => (edges[i] + edge) / 2), all = levels.length;
  const total = counts.reduce((sum, count, i) => sum + count * middles[i], 0);
  let number = 0, moment = 0, best = -Infinity, threshold = edges[1];
  for (let i = 0; i < bins - 1; i++) {
    number += counts[i];
    moment += counts[i] * middles[i];
    const below = Math.max(number, 1), above = Math.max(all - below, 1);
    const variance = below * above * (moment / below - (total - moment) / above) ** 2;
    if (variance > best) [best, threshold] = [variance, edges[i + 1]];
  }
  return threshold;
}

/** Pixels at most `steps` away from a marked one, along rows and columns. */
function dilate(mask, width, height, steps) {
  const away = Float64Array.from(mask, (v) => (v ? 0 : Infinity));
  const closer = (at, from) => { away[at] = Math.min(away[at], away[from] + 1); };
  for (let at = 0; at < away.length; at++) {
    if (at % width) closer(at, at - 1);
    if (at >= width) closer(at, at - width);
  }
  for (let at = away.length - 1; at >= 0; at--) {
    if ((at + 1) % width) closer(at, at + 1);
    if (at + width < away.length) closer(at, at + width);
  }
  return away.map((v) => (v <= steps ? 1 : 0));
}

/** Broaden strokes that would be thinner than MNIST's once the character is scaled down. */
function broadenThinPen(levels, core, { width, height }, longer) {
  const paper = nearestMarked(core.map((v) => !v), width, height), inside = [];
  core.forEach((v, at) => { if (v) inside.push(distance(at, paper[at], width)); });
  const grow = ((MIN_PEN * longer) / BOX - 4 * (mean(inside) - 0.5)) / 2;
  if (grow <= 0) return { levels, margin: 0 };
  const margin = Math.floor(grow) + 2, columns = width + 2 * margin, rows = height + 2 * margin;
  const pad = (plane) => {
    const padded = new plane.constructor(rows * columns);
    for (let y = 0; y < height; y++) {
      padded.set(plane.subarray(y * width, (y + 1) * width), (y + margin) * columns + margin);
    }
    return padded;
  };
  const nearest = nearestMarked(pad(core), columns, rows);
  const broad = pad(levels).map((level, at) =>
    Math.max(level, 255 * clamp(grow + 1 - distance(at, nearest[at], columns), 0, 1)));
  return { levels: broad, margin };
}

/** How far two pixels are apart; -1 is one above the first row, as in SciPy where nothing is marked. */
function distance(at, other, width) {
  const down = Math.floor(at / width) - (other < 0 ? -1 : Math.floor(other / width));
  return Math.sqrt(down ** 2 + ((at % width) - (other < 0 ? 0 : other % width)) ** 2);
}
