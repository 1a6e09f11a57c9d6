// From a drawing to the input of the net: what netlet.data does in Python, in integers, equal in every pixel.

const SIZE = 28, BOX = 20; // of MNIST's frame, and of the character in it

/**
 * @param ink gray levels of height x width pixels, row by row, 0 background to 255 ink
 * @returns null for blank ink; else `image`, the 28x28 levels, and where they come from: `height` rows and `width`
 *   columns of the ink, from row `y` and column `x` on, became `h` rows and `w` columns from row `top` and column `left`
 */
function prepare(ink, width, height) {
  const levels = ink instanceof Uint8Array ? ink : Uint8Array.from(ink, (v) => clamp(Math.floor(v + 0.5), 0, 255));
  const box = boundingBox(levels, width, height);
  if (!box) return null;
  const longer = Math.max(box.height, box.width);
  const scale = (side) => Math.max(1, Math.floor((2 * BOX * side + longer) / (2 * longer)));
  const h = scale(box.height), w = scale(box.width);
  const sums = sumAreas(levels, width, box, h, w);
  const brightest = sums.reduce((a, b) => Math.max(a, b));
  const small = sums.map((sum) => Math.floor((510 * sum + brightest) / (2 * brightest)));
  const rowMasses = new Float64Array(h), columnMasses = new Float64Array(w);
  small.forEach((level, i) => { rowMasses[Math.floor(i / w)] += level; columnMasses[i % w] += level; });
  const top = centeredStart(rowMasses), left = centeredStart(columnMasses);
  const image = new Uint8Array(SIZE * SIZE);
  for (let i = 0; i < h; i++) image.set(small.subarray(i * w, (i + 1) * w), (top + i) * SIZE + left);
  return { image, ...box, h, w, top, left };
}

function boundingBox(levels, width, height) {
  let top = height, bottom = -1, left = width, right = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!levels[y * width + x]) continue;
      if (y < top) top = y;
      bottom = y;
      if (x < left) left = x;
      if (x > right) right = x;
    }
  }
  return bottom < 0 ? null : { y: top, x: left, height: bottom - top + 1, width: right - left + 1 };
}

/** For each of h x w target pixels: the sum of the source levels below it, weighted by their overlap. */
function sumAreas(levels, width, box, h, w) {
  const sums = new Float64Array(h * w), row = new Float64Array(w);
  const across = overlaps(box.width, w), down = overlaps(box.height, h);
  for (let y = 0; y < box.height; y++) {
    const start = (box.y + y) * width + box.x;
    row.fill(0);
    for (let x = 0; x < box.width; x++) {
      const level = levels[start + x];
      if (level) for (const [j, overlap] of across[x]) row[j] += overlap * level;
    }
    for (const [i, overlap] of down[y]) for (let j = 0; j < w; j++) sums[i * w + j] += overlap * row[j];
  }
  return sums;
}

/** For each of n source pixels: the target pixels (of m) that it overlaps, and by how much, in units of 1/m pixel. */
function overlaps(n, m) {
  return Array.from({ length: n }, (_, j) => {
    const targets = [];
    for (let i = Math.floor((j * m) / n); i * n < (j + 1) * m; i++) {
      targets.push([i, Math.min((i + 1) * n, (j + 1) * m) - Math.max(i * n, j * m)]);
    }
    return targets;
  });
}

/**
 * Gray levels of a part of a picture, averaged to `rows` x `columns` levels: netlet.data.whole_picture in Python.
 * @param part its first row `y` and column `x`, its `height` and `width`
 */
function average(levels, width, part, rows, columns) {
  const weight = part.height * part.width; // of all the pixels below a target pixel, in the units of their overlaps
  const sums = sumAreas(levels, width, part, rows, columns);
  return Uint8Array.from(sums, (sum) => Math.floor((2 * sum + weight) / (2 * weight)));
}

/** The largest part around the center of a picture that has the proportions of rows x columns. */
function centralPart(width, height, rows, columns) {
  const wide = width * rows > height * columns;
  const w = wide ? Math.max(1, Math.floor((2 * height * columns + rows) / (2 * rows))) : width;
  const h = wide ? height : Math.max(1, Math.floor((2 * width * rows + columns) / (2 * columns)));
  return { y: Math.floor((height - h) / 2), x: Math.floor((width - w) / 2), height: h, width: w };
}

/** The first row (or column) of a box with these row (or column) masses, so that its center of mass is at pixel 14. */
function centeredStart(masses) {
  let mass = 0, moment = 0;
  masses.forEach((m, i) => { mass += m; moment += m * i; });
  return clamp(Math.floor((29 * mass - 2 * moment) / (2 * mass)), 0, SIZE - masses.length);
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
