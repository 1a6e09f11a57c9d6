// PNG files, decoded as Pillow does: all depths, palettes, transparency, interlacing, EXIF orientation. The browser's
// own decoder would cut 16 bits to 8 and multiply colors by their opacity.

const MOST_PIXELS = 50_000_000, SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // by color type
// First row and column, and steps, of the passes of an interlaced file.
const PASSES = [[0, 0, 8, 8], [0, 4, 8, 8], [4, 0, 8, 4], [0, 2, 4, 4], [2, 0, 4, 2], [0, 1, 2, 2], [1, 0, 2, 1]];

const isPng = (bytes) => SIGNATURE.every((byte, i) => bytes[i] === byte);

/**
 * @returns `width`, `height`, and either `gray`, levels 0 to 255, whole ones unless the file has 16 bits, or `red`,
 *   `green`, `blue` and, if there is transparency, `alpha`
 * @throws if the file is damaged or too large
 */
function decodePng(bytes) {
  const { header, data, palette, transparency, orientation } = readChunks(bytes);
  const { width, height, depth, type } = header;
  const samples = readSamples(header, data), number = width * height, count = SAMPLES[type];
  const plane = (k) => (count === 1 ? samples : Uint8Array.from({ length: number }, (_, i) => samples[count * i + k]));
  let picture;
  if (type === 0) {
    const unit = depth === 16 ? Math.fround(255 / 65_535) : 255 / (2 ** depth - 1);
    picture = { gray: depth === 8 ? samples : Float32Array.from(samples, (v) => v * unit) };
  } else if (type === 3) {
    const colors = (k) => Uint8Array.from(samples, (v) => palette[3 * v + k] ?? 0);
    picture = { red: colors(0), green: colors(1), blue: colors(2) };
    if (transparency) picture.alpha = Uint8Array.from(samples, (v) => transparency[v] ?? 255);
  } else if (type === 4) {
    const gray = plane(0);
    picture = { red: gray, green: gray, blue: gray, alpha: plane(1) };
  } else {
    picture = { red: plane(0), green: plane(1), blue: plane(2) };
    if (type === 6) picture.alpha = plane(3);
    else if (transparency && depth === 8) {
      const [red, green, blue] = [1, 3, 5].map((at) => transparency[at]); // the color that is transparent
      picture.alpha = Uint8Array.from({ length: number }, (_, i) =>
        (picture.red[i] === red && picture.green[i] === green && picture.blue[i] === blue ? 0 : 255));
    }
  }
  return orient({ width, height, ...picture }, orientation);
}

function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), parts = [], found = { orientation: 1 };
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at), type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") found.header = readHeader(view, at + 8);
    else if (type === "PLTE") found.palette = content;
    else if (type === "tRNS") found.transparency = content;
    else if (type === "eXIf") found.orientation = exifOrientation(content);
    else if (type === "IDAT") parts.push(content);
    else if (type === "IEND") break;
    at += 12 + length;
  }
  if (!found.header || !parts.length) throw new Error("its data are cut off");
  if (found.header.type === 3 && !found.palette) throw new Error("its palette is missing");
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return { ...found, data: whole.subarray(2) }; // behind the two bytes of zlib
}

function readHeader(view, at) {
  const [width, height] = [view.getUint32(at), view.getUint32(at + 4)];
  const [depth, type, , , interlaced] = [8, 9, 10, 11, 12].map((i) => view.getUint8(at + i));
  if (!(type in SAMPLES) || ![1, 2, 4, 8, 16].includes(depth)) throw new Error("its header is damaged");
  checkSize(width, height);
  return { width, height, depth, type, interlaced };
}

function checkSize(width, height) {
  if (width * height > MOST_PIXELS) {
    throw new Error(`${width}x${height} pixels are too many; scale it to at most ${MOST_PIXELS / 1e6} million`);
  }
  if (!width || !height) throw new Error("it has no pixels");
}

/** The samples, pixel by pixel; of 16 bits both bytes if they are gray levels, else the upper one, as in Pillow. */
function readSamples({ width, height, depth, type, interlaced }, data) {
  const count = SAMPLES[type], bits = count * depth, deep = depth === 16 && type === 0;
  const samples = new (deep ? Uint16Array : Uint8Array)(width * height * count);
  const passes = (interlaced ? PASSES : [[0, 0, 1, 1]]).map(([top, left, down, across]) => {
    const rows = Math.ceil((height - top) / down), columns = Math.ceil((width - left) / across);
    return { top, left, down, across, columns, rows: columns > 0 ? rows : 0, length: Math.ceil((columns * bits) / 8) };
  });
  const bytes = passes.reduce((sum, { rows, length }) => sum + Math.max(rows, 0) * (1 + length), 0);
  const content = inflate(data, bytes + 1_024);
  if (content.length < bytes) throw new Error("its data are cut off");
  let at = 0;
  for (const { top, left, down, across, rows, columns, length } of passes) {
    let above = new Uint8Array(length);
    for (let row = 0; row < rows; row++, at += 1 + length) {
      const line = content.subarray(at + 1, at + 1 + length);
      unfilter(content[at], line, above, Math.max(1, bits / 8));
      above = line;
      const first = (top + row * down) * width + left;
      for (let i = 0; i < columns * count; i++) {
        const pixel = Math.floor(i / count), to = (first + pixel * across) * count + (i % count);
        if (depth === 8) samples[to] = line[i];
        else if (depth === 16) samples[to] = deep ? 256 * line[2 * i] + line[2 * i + 1] : line[2 * i];
        else samples[to] = (line[(i * depth) >> 3] >> (8 - depth - ((i * depth) & 7))) & (2 ** depth - 1);
      }
    }
  }
  return samples;
}

/** Undo the filter of a row: add to each byte what those `step` before it and above it predict. */
function unfilter(filter, line, above, step) {
  if (filter > 4) throw new Error("its data are damaged");
  for (let i = 0; filter && i < line.length; i++) {
    const left = i < step ? 0 : line[i - step], corner = i < step ? 0 : above[i - step], up = above[i];
    line[i] += filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner);
  }
}

function paeth(left, up, corner) {
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(left + up - corner - value));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** The orientation, 1 to 8, that EXIF data (a TIFF file) say. */
function exifOrientation(exif) {
  if (exif.length < 8) return 1;
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength), little = view.getUint16(0) === 0x4949;
  const first = view.getUint32(4, little);
  for (let i = 0; first + 2 <= exif.length && i < view.getUint16(first, little); i++) {
    const entry = first + 2 + 12 * i;
    if (entry + 12 > exif.length) break;
    if (view.getUint16(entry, little) !== 0x112) continue;
    const value = view.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/** A picture turned as its EXIF orientation says. */
function orient(picture, orientation) {
  if (orientation === 1) return picture;
  const { width: w, height: h, ...planes } = picture, swapped = orientation > 4;
  const upsideDown = [3, 4, 6, 7].includes(orientation), mirrored = [2, 3, 7, 8].includes(orientation);
  const [width, height] = swapped ? [h, w] : [w, h];
  const turn = (plane) => plane.map((_, at) => {
    const x = at % width, y = Math.floor(at / width), [row, column] = swapped ? [x, y] : [y, x];
    return plane[(upsideDown ? h - 1 - row : row) * w + (mirrored ? w - 1 - column : column)];
  });
  return { width, height, ...Object.fromEntries(Object.entries(planes).map(([name, plane]) => [name, turn(plane)])) };
}
