// A picture from a file, read as `netlet predict` reads it: netlet.data.pictures and whole_picture in Python.

const MOST_SIDE = 1_024; // pixels; larger pictures are reduced before the ink is searched
const CHANNEL_GAIN = 1.5; // a color is used instead of luminance if its contrast is this much higher

/** Decode a file as decodePng does; other formats by the browser. */
async function decodePicture(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (!bytes.length) throw new Error("empty; use a PNG, JPEG, WebP, BMP or GIF");
  if (isPng(bytes)) return decodePng(bytes);
  const options = { premultiplyAlpha: "none", colorSpaceConversion: "none", imageOrientation: "from-image" };
  const bitmap = await createImageBitmap(file, options).catch(() => {
    throw new Error("not an image that this browser can read; use a PNG, JPEG, WebP, BMP or GIF");
  });
  const { width, height } = bitmap;
  checkSize(width, height);
  const context = element("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const plane = (k) => Uint8Array.from({ length: width * height }, (_, i) => data[4 * i + k]);
  const [red, green, blue, alpha] = [0, 1, 2, 3].map(plane);
  const colored = red.some((level, i) => level !== green[i] || level !== blue[i]);
  const picture = colored ? { red, green, blue } : { gray: red };
  return { width, height, ...(alpha.every((a) => a === 255) ? picture : { red, green, blue, alpha }) };
}

const luminance = ({ red, green, blue }) =>
  red.map((level, i) => (level * 19_595 + green[i] * 38_470 + blue[i] * 7_471 + 0x8000) >> 16);

/** Gray levels of a picture, over a contrasting backing if there is transparency. */
function toGray(picture) {
  if (picture.gray) return Float32Array.from(picture.gray);
  const gray = clearestChannel(picture);
  if (!picture.alpha) return gray;
  const opaque = Float32Array.from(picture.alpha, (a) => a / 255);
  const backing = chooseBacking(gray.filter((_, i) => opaque[i] > 0.5), gray.length);
  return gray.map((level, i) => backing + Math.fround(opaque[i] * Math.fround(level - backing)));
}

/** The luminance, or the color channel in which a colored pen has far more contrast. */
function clearestChannel(picture) {
  const channels = [luminance(picture), picture.red, picture.green, picture.blue];
  const contrasts = channels.map((levels) => {
    const [low, high] = percentiles(levels, [0.2, 99.8]);
    return high - low;
  });
  const best = contrasts.indexOf(Math.max(...contrasts));
  return Float32Array.from(channels[contrasts[best] > CHANNEL_GAIN * contrasts[0] ? best : 0]);
}

/** The level below transparent areas: for a drawing without paper a contrasting one, else the paper's. */
function chooseBacking(visible, pixels) {
  if (!visible.length) return 255;
  const [low, middle, high] = percentiles(visible, [1, 50, 99]);
  if (visible.length > pixels / 2 && high - low > 64) return middle;
  return middle < 128 ? 255 : 0;
}

/** Percentiles with linear interpolation, as NumPy computes them. */
function percentiles(values, shares) {
  const sorted = values.slice().sort(), last = sorted.length - 1;
  return shares.map((share) => {
    const place = (share / 100) * last, at = Math.floor(place), t = place - at;
    const a = sorted[at], b = sorted[Math.min(at + 1, last)];
    return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
  });
}

/** Average blocks of `factor` x `factor` levels; those at the right and lower edge may be smaller. */
function reduce(levels, width, height, factor) {
  const columns = Math.ceil(width / factor), rows = Math.ceil(height / factor);
  const reduced = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const tall = Math.min(factor, height - row * factor);
    for (let column = 0; column < columns; column++) {
      const wide = Math.min(factor, width - column * factor);
      let sum = 0;
      for (let y = row * factor; y < row * factor + tall; y++) {
        for (let at = y * width + column * factor, end = at + wide; at < end; at++) sum += levels[at];
      }
      reduced[row * columns + column] = sum * (1 / (tall * wide));
    }
  }
  return { levels: reduced, width: columns, height: rows };
}

/** The ink of each character in a picture, from left to right, with its place; see extractInks. */
function readInks(picture) {
  const factor = Math.ceil(Math.max(picture.width, picture.height) / MOST_SIDE), gray = toGray(picture);
  const small = factor > 1 ? reduce(gray, picture.width, picture.height, factor) : { ...picture, levels: gray };
  return { width: small.width, height: small.height, inks: extractInks(small.levels, small.width, small.height) };
}

/** A picture as levels C H W of the net: its central part, averaged; transparent areas are white. */
function readWhole(picture) {
  const part = centralPart(picture.width, picture.height, ROWS, COLUMNS);
  const image = new Uint8Array(CHANNELS * ROWS * COLUMNS);
  wholeLevels(picture).forEach((levels, channel) =>
    image.set(average(levels, picture.width, part, ROWS, COLUMNS), channel * ROWS * COLUMNS));
  return { image, part };
}

function wholeLevels(picture) {
  const { gray, red, green, blue, alpha } = picture;
  const onWhite = (levels) => (alpha
    ? levels.map((level, i) => Math.floor((2 * (alpha[i] * level + (255 - alpha[i]) * 255) + 255) / 510)) : levels);
  if (gray) return new Array(CHANNELS).fill(Uint8Array.from(gray, (level) => Math.floor(level + 0.5)));
  const [r, g, b] = [red, green, blue].map(onWhite);
  return CHANNELS === 1 ? [luminance({ red: r, green: g, blue: b })] : [r, g, b];
}
