// What a place in a map depends on: receptive fields, as intervals of the image and as boxes on the drawing.

/** First and last row (or column) of the image that element `i` of an axis depends on, padding included. */
function interval(axis, i) {
  const { start, size, jump, fixed } = axis;
  if (size === undefined) return fixed;
  const first = start + i * jump, last = first + size - 1;
  return fixed ? [Math.min(first, fixed[0]), Math.max(last, fixed[1])] : [first, last];
}

/** The part of the image that a place depends on: its corner `y`, `x`, `height` and `width`; null if not known. */
function fieldOf(layer, row, column) {
  if (!layer.field) return null;
  const [[top, bottom], [left, right]] = [interval(layer.field[0], row), interval(layer.field[1], column)];
  return { y: top, x: left, height: bottom - top + 1, width: right - left + 1 };
}

/** The same part cut to the frame of 28x28, where the padding has no place. */
function withinFrame(field) {
  const cut = (edge) => clamped(edge, 0, SIZE), y = cut(field.y), x = cut(field.x);
  return { y, x, height: cut(field.y + field.height) - y, width: cut(field.x + field.width) - x };
}

/** A part of the frame on the ink that it was prepared from: back through shift, scale and crop. */
function onInk(part, prepared) {
  const down = prepared.height / prepared.h, across = prepared.width / prepared.w;
  return {
    y: prepared.y + (part.y - prepared.top) * down,
    x: prepared.x + (part.x - prepared.left) * across,
    height: part.height * down,
    width: part.width * across,
  };
}
