// A drawing as the fragment of a link, so that it is never sent to a server: "#drawing=" and bytes in base64url. They are
// a version, the kind, the content and a checksum; numbers are whole, seven bits a byte, the lowest first.

const FRAGMENT = "#drawing=", VERSION = 1, STROKES = 0, INPUTS = 1;
const DAMAGED = "the link is damaged; copy the whole link";

/** The fragment that holds strokes, or the inputs of the net that were read from a picture. */
function toFragment({ strokes, picture, paper }) {
  const bytes = [VERSION, picture ? INPUTS : STROKES];
  if (picture) writeInputs(bytes, picture.inputs.map(({ image }) => image));
  else writeStrokes(bytes, strokes, paper);
  bytes.push(...checksum(bytes));
  const text = btoa(bytes.map((byte) => String.fromCharCode(byte)).join(""));
  return FRAGMENT + text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * @returns `strokes` and `paper`, or `images`; null if the fragment holds no drawing
 * @throws if it is damaged, or from a page of another net
 */
function fromFragment(fragment) {
  if (!fragment.startsWith(FRAGMENT)) return null;
  const text = atob(fragment.slice(FRAGMENT.length).replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Array.from(text, (character) => character.charCodeAt(0));
  const content = bytes.slice(0, -2), reader = new Reader(content);
  if (checksum(content).join() !== bytes.slice(-2).join()) throw new Error(DAMAGED);
  if (reader.byte() !== VERSION) throw new Error("the link is from another version of this page; open it there");
  const kind = reader.byte(), drawing = kind === STROKES ? readStrokes(reader) : { images: readImages(reader) };
  if (reader.at !== content.length) throw new Error(DAMAGED);
  return drawing;
}

/** Fletcher's checksum, which notices bytes that are missing, changed or exchanged. */
function checksum(bytes) {
  let a = 1, b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 255;
    b = (b + a) % 255;
  }
  return [a, b];
}

function writeNumber(bytes, number) {
  for (; number > 127; number = Math.floor(number / 128)) bytes.push(128 + (number % 128));
  bytes.push(number);
}

class Reader {
  at = 0;

  constructor(bytes) { this.bytes = bytes; }

  byte() {
    if (this.at >= this.bytes.length) throw new Error(DAMAGED);
    return this.bytes[this.at++];
  }

  number(most) {
    let number = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = this.byte();
      number += unit * (byte % 128);
      if (number > most) throw new Error(DAMAGED);
      if (byte < 128) return number;
    }
  }
}

/** Positions are differences from the one before; even numbers are positive ones, odd numbers negative ones. */
function writeStrokes(bytes, strokes, paper) {
  writeNumber(bytes, paper);
  writeNumber(bytes, strokes.length);
  for (const { color, points } of strokes) {
    writeNumber(bytes, color);
    writeNumber(bytes, points.length / 2);
    points.forEach((value, i) => {
      const difference = value - (i < 2 ? 0 : points[i - 2]);
      writeNumber(bytes, difference < 0 ? -2 * difference - 1 : 2 * difference);
    });
  }
}

function readStrokes(reader) {
  const paper = reader.number(COLOR_CODES.length - 1);
  const strokes = Array.from({ length: reader.number(1e5) }, () => {
    const color = reader.number(COLOR_CODES.length - 1), points = [];
    for (let left = 2 * reader.number(1e6); left > 0; left--) {
      const number = reader.number(1e6), difference = number % 2 ? -(number + 1) / 2 : number / 2;
      points.push(difference + (points.at(-2) ?? 0));
    }
    if (!points.length) throw new Error(DAMAGED);
    return { color, points };
  });
  return { strokes, paper };
}

/** Levels one after the other; after a 0 follows how many more there are. */
function writeInputs(bytes, images) {
  writeNumber(bytes, images.length);
  for (const image of images) {
    writeNumber(bytes, image.length);
    for (let at = 0; at < image.length; at++) {
      bytes.push(image[at]);
      if (image[at]) continue;
      const first = at;
      while (image[at + 1] === 0) at++;
      writeNumber(bytes, at - first);
    }
  }
}

function readImages(reader) {
  const size = CHANNELS * ROWS * COLUMNS;
  return Array.from({ length: reader.number(MOST_DIGITS) }, () => {
    if (reader.number(1e6) !== size) throw new Error("the link is from a page whose net takes other images; open it there");
    const image = new Uint8Array(size);
    for (let at = 0; at < size; at++) {
      image[at] = reader.byte();
      if (!image[at]) at += reader.number(size - at - 1);
    }
    return image;
  });
}
