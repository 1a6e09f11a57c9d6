// From ink to the 28x28 that the net sees: netlet.data's `prepared`, in whole numbers, equal to it in every pixel.

const SIZE = 28, BOX = 20;

/**
 * @param ink grey levels of height x width pixels, row by row, 0 background to 255 ink
 * @returns null for blank ink; else `image`, 28x28 levels, and where the ink's box has come from and to: `height` rows
 *   and `width` columns of the ink from `y` and `x` on are now `h` and `w` many from `top` and `left` on
 */
function prepare(ink, width, height) {
  const levels = ink instanceof Uint8Array ? ink : Uint8Array.from(ink, (v) => clamped(Math.floor(v + 0.5), 0, 255));
  const box = boxOf(levels, width, height);
  if (!box) return null;
  const longer = Math.max(box.height, box.width);
  const scaled = (side) => Math.max(1, Math.floor((2 * BOX * side + longer) / (2 * longer)));
  const h = scaled(box.height), w = scaled(box.width);
  const sums = areaSums(levels, width, box, h, w);
  const brightest = sums.reduce((a, b) => Math.max(a, b));
  const small = sums.map((sum) => Math.floor((510 * sum + brightest) / (2 * brightest)));
  const ofRows = new Float64Array(h), ofColumns = new Float64Array(w);
  small.forEach((level, i) => { ofRows[Math.floor(i / w)] += level; ofColumns[i % w] += level; });
  const top = beginning(ofRows), left = beginning(ofColumns);
  const image = new Uint8Array(SIZE * SIZE);
  for (let i = 0; i < h; i++) image.set(small.subarray(i * w, (i + 1) * w), (top + i) * SIZE + left);
  return { image, ...box, h, w, top, left };
}

function boxOf(levels, width, height) {
  let first = height, last = -1, left = width, right = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!levels[y * width + x]) continue;
      if (y < first) first = y;
      last = y;
      if (x < left) left = x;
      if (x > right) right = x;
    }
  }
  return last < 0 ? null : { y: first, x: left, height: last - first + 1, width: right - left + 1 };
}

/** Of each of h x w new pixels the levels below it, each times by how much they overlap. */
function areaSums(levels, width, box, h, w) {
  const sums = new Float64Array(h * w), row = new Float64Array(w);
  const across = overlaps(box.width, w), down = overlaps(box.height, h);
  for (let y = 0; y < box.height; y++) {
    const begin = (box.y + y) * width + box.x;
    row.fill(0);
    for (let x = 0; x < box.width; x++) {
      const level = levels[begin + x];
      if (level) for (const [j, share] of across[x]) row[j] += share * level;
    }
    for (const [i, share] of down[y]) for (let j = 0; j < w; j++) sums[i * w + j] += share * row[j];
  }
  return sums;
}

/** For each of n old pixels: which of m new ones it overlaps, and by how much, in units of 1/m px. */
function overlaps(n, m) {
  return Array.from({ length: n }, (_, j) => {
    const found = [];
    for (let i = Math.floor((j * m) / n); i * n < (j + 1) * m; i++) {
      found.push([i, Math.min((i + 1) * n, (j + 1) * m) - Math.max(i * n, j * m)]);
    }
    return found;
  });
}

/** Where a box begins whose rows (or columns) have these masses: their centre comes to pixel 14. */
function beginning(masses) {
  let mass = 0, moment = 0;
  masses.forEach((m, i) => { mass += m; moment += m * i; });
  return clamped(Math.floor((29 * mass - 2 * moment) / (2 * mass)), 0, SIZE - masses.length);
}

const clamped = (value, low, high) => Math.min(Math.max(value, low), high);
