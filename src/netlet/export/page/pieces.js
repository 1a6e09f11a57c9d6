// From a drawing to its digits, left to right: the same as netlet.data.pieces in Python, in whole numbers.

/** The drawing's ink (`height` x `width` levels, row by row) once for each digit, with that digit's ink alone. */
function splitDigits(ink, width, height) {
  const numbers = groupPieces(ink, width, height);
  const count = numbers.reduce((a, b) => Math.max(a, b), 0);
  if (count === 1) return [ink];
  return Array.from({ length: count }, (_, i) => ink.map((level, at) => (numbers[at] === i + 1 ? level : 0)));
}

/** For each pixel the number of its digit, from 1 at the left; 0 without ink. */
function groupPieces(ink, width, height) {
  const { labels, pieces } = labelPieces(ink, width, height);
  const digitOf = pieces.length ? assignDigits(pieces) : [];
  return Int32Array.from(labels, (label) => (label ? digitOf[label - 1] : 0));
}

/** Pieces of connected ink, also diagonally, in the order of their first pixels; `labels` has their numbers from 1. */
function labelPieces(ink, width, height) {
  const labels = new Int32Array(width * height), pieces = [];
  for (let first = 0; first < labels.length; first++) {
    if (!ink[first] || labels[first]) continue;
    const piece = { top: height, bottom: 0, left: width, right: 0, area: 0 };
    const open = [first];
    pieces.push(piece);
    labels[first] = pieces.length;
    while (open.length) {
      const at = open.pop(), x = at % width, y = (at - x) / width;
      piece.area++;
      extend(piece, { top: y, bottom: y + 1, left: x, right: x + 1 });
      for (let row = Math.max(y - 1, 0); row < Math.min(y + 2, height); row++) {
        for (let column = Math.max(x - 1, 0); column < Math.min(x + 2, width); column++) {
          const next = row * width + column;
          if (!ink[next] || labels[next]) continue;
          labels[next] = pieces.length;
          open.push(next);
        }
      }
    }
  }
  return { labels, pieces };
}

/** The number of the digit, from 1, that each piece belongs to. */
function assignDigits(pieces) {
  const tallness = (piece) => piece.bottom - piece.top, middle = (piece) => piece.left + piece.right;
  const highest = Math.max(...pieces.map(tallness));
  const tall = pieces.filter((piece) => 2 * tallness(piece) >= highest);
  const largest = Math.max(...tall.map((piece) => piece.area));
  const bodies = tall.filter((piece) => 5 * piece.area >= largest).sort((a, b) => middle(a) - middle(b));
  const digits = [], digitOf = new Map();
  bodies.forEach((body, i) => {
    if (!i || standSideBySide(bodies[i - 1], body)) digits.push({ ...body });
    else extend(digits.at(-1), body);
    digitOf.set(body, digits.length);
  });
  return pieces.map((piece) => {
    const shared = digits.map((digit) => sharedColumns(digit, piece));
    return digitOf.get(piece) ?? 1 + shared.indexOf(Math.max(...shared));
  });
}

function standSideBySide(a, b) {
  const rows = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return 4 * sharedColumns(a, b) <= Math.min(a.right - a.left, b.right - b.left) &&
    2 * rows >= Math.min(a.bottom - a.top, b.bottom - b.top);
}

/** How many columns two boxes share; below 0, how many lie between them. */
const sharedColumns = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left);

/** Extend a box by another one. */
function extend(box, { top, bottom, left, right }) {
  box.top = Math.min(box.top, top);
  box.bottom = Math.max(box.bottom, bottom);
  box.left = Math.min(box.left, left);
  box.right = Math.max(box.right, right);
}
