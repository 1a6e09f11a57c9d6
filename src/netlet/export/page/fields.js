// Receptive fields: intervals of the input that a value depends on, and boxes on the input and on the drawing.

/** First and last row (or column) of the input that element `i` along an axis depends on, padding included. */
function interval(axis, i) {
  const { start, size, jump, fixed } = axis;
  if (size === undefined) return fixed;
  const first = start + i * jump, last = first + size - 1;
  return fixed ? [Math.min(first, fixed[0]), Math.max(last, fixed[1])] : [first, last];
}

/** The receptive field of a position: its corner `y`, `x`, its `height` and `width`; null if unknown. */
function receptiveField(layer, row, column) {
  if (!layer.field) return null;
  const [[top, bottom], [left, right]] = [interval(layer.field[0], row), interval(layer.field[1], column)];
  return { y: top, x: left, height: bottom - top + 1, width: right - left + 1 };
}

/** A box cut to the input, without the padding around it. */
function cutToInput(box) {
  const y = clamp(box.y, 0, ROWS), x = clamp(box.x, 0, COLUMNS);
  return {
    y, x, height: clamp(box.y + box.height, 0, ROWS) - y, width: clamp(box.x + box.width, 0, COLUMNS) - x,
  };
}

/** The box on the drawing that a box on the input comes from: undoes shift, scale and crop. */
function toDrawing(box, prepared) {
  const down = prepared.height / prepared.h, across = prepared.width / prepared.w;
  return {
    y: prepared.y + (box.y - prepared.top) * down,
    x: prepared.x + (box.x - prepared.left) * across,
    height: box.height * down,
    width: box.width * across,
  };
}
