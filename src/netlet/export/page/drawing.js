// The drawing area: strokes by mouse, finger, pen or keyboard, with undo; or a picture in their place.

const LONGER = 560, PEN = 46; // pixels: longer side of the area, width of the pen
const STEP = LONGER / Math.max(ROWS, COLUMNS); // pixels: keyboard step
const SHEET = { width: Math.round(STEP * COLUMNS), height: Math.round(STEP * ROWS) };

// The colors of pen and paper where the net sees the whole sheet. In MNIST's frame there is ink alone.
const GRAYS = { black: "#000000", "dark gray": "#404040", gray: "#808080", "light gray": "#c0c0c0", white: "#ffffff" };
const HUES = {
  black: "#000000", gray: "#808080", white: "#ffffff", red: "#d62728", orange: "#ff7f0e", yellow: "#f2d21b",
  green: "#2ca02c", blue: "#1f77b4", purple: "#7b4fb5", brown: "#8c564b",
};
const INKS = net.whole ? (CHANNELS === 1 ? GRAYS : HUES) : { black: "#000000" };
const COLOR_NAMES = Object.keys(INKS), COLOR_CODES = Object.values(INKS);

class Drawing {
  strokes = []; // each with its `color`, a number, and its `points`, the coordinates x, y, x, y, ...
  picture = null; // the `inputs` of the net that were read from a picture, and the `sheet` that shows it
  paper = 0; // number of a color, as `color`, which the pen has
  color = 0;
  pen = { x: SHEET.width / 2, y: SHEET.height / 2, down: false, shown: false }; // of the keyboard
  #past = []; // strokes, picture and paper before each stroke and each other change
  #replay = 0;

  /**
   * @param onChange called after every change of the ink
   * @param onPen called after every change of the keyboard's pen
   */
  constructor(canvas, onChange, onPen) {
    Object.assign(canvas, SHEET);
    Object.assign(this, { canvas, onChange, onPen });
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(this.context, { lineCap: "round", lineJoin: "round", lineWidth: PEN });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { this.dragging = null; });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#setPen({ down: false, shown: false }));
  }

  get blank() { return !this.strokes.length && !this.picture; }

  get undoable() { return this.#past.length > 0; }

  /** The ink levels, row by row: how much of each pixel the pen has covered. */
  ink() { return this.plane(3); }

  /** Red, green, blue or alpha (0 to 3) of each pixel, row by row. */
  plane(channel) {
    const { data } = this.context.getImageData(0, 0, SHEET.width, SHEET.height);
    const levels = new Uint8Array(data.length / 4);
    for (let i = 0; i < levels.length; i++) levels[i] = data[4 * i + channel];
    return levels;
  }

  undo() {
    this.#stop();
    Object.assign(this, this.#past.pop());
    this.redraw();
  }

  clear() { if (!this.blank) this.show({}); }

  /** Show other strokes or a picture instead; undo brings the former ones back. */
  show({ strokes = [], picture = null, paper = this.paper }) {
    this.#stop();
    this.#remember();
    Object.assign(this, { strokes, picture, paper });
    this.redraw();
  }

  /** Replace the drawing by other strokes, animated unless the user prefers reduced motion. */
  write(strokes) {
    this.clear();
    this.#stop();
    const steps = strokes.flatMap((stroke) => stroke.map(([x, y], i) => [i ? "extend" : "begin", x, y]));
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const perFrame = still ? steps.length : Math.ceil(steps.length / 36);
    const next = () => {
      for (const [method, x, y] of steps.splice(0, perFrame)) this[method](x, y);
      this.#replay = steps.length ? requestAnimationFrame(next) : 0;
    };
    next();
  }

  begin(x, y) {
    this.#remember();
    if (this.picture) {
      this.picture = null; // the stroke takes its place
      this.redraw();
    }
    const [left, top] = [Math.round(x), Math.round(y)];
    this.strokes = [...this.strokes, { color: this.color, points: [left, top] }];
    this.#line(this.color, left, top, left, top);
    this.onChange();
  }

  extend(x, y) {
    const { color, points } = this.strokes.at(-1), [left, top] = [Math.round(x), Math.round(y)];
    if (points.at(-2) === left && points.at(-1) === top) return;
    this.#line(color, ...points.slice(-2), left, top);
    points.push(left, top);
    this.onChange();
  }

  #remember() { this.#past.push({ strokes: this.strokes, picture: this.picture, paper: this.paper }); }

  #stop() {
    cancelAnimationFrame(this.#replay);
    this.dragging = null;
    this.#setPen({ down: false });
  }

  redraw() {
    this.context.clearRect(0, 0, SHEET.width, SHEET.height);
    if (net.whole) {
      this.context.fillStyle = COLOR_CODES[this.paper];
      this.context.fillRect(0, 0, SHEET.width, SHEET.height);
    }
    if (this.picture) this.context.drawImage(this.picture.sheet, 0, 0);
    for (const { color, points: s } of this.strokes) {
      this.#line(color, s[0], s[1], s[0], s[1]);
      for (let i = 2; i < s.length; i += 2) this.#line(color, s[i - 2], s[i - 1], s[i], s[i + 1]);
    }
    this.onChange();
  }

  #line(color, fromX, fromY, toX, toY) {
    this.context.strokeStyle = COLOR_CODES[color];
    this.context.beginPath();
    this.context.moveTo(fromX, fromY);
    this.context.lineTo(toX, toY);
    this.context.stroke();
  }

  #position(event) {
    const sheet = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - sheet.left) / sheet.width) * SHEET.width, ((event.clientY - sheet.top) / sheet.height) * SHEET.height,
    ];
  }

  #press(event) {
    if (event.button || !event.isPrimary) return; // only the main mouse button and the first finger draw
    this.#stop();
    this.#setPen({ shown: false });
    this.canvas.setPointerCapture(event.pointerId);
    this.dragging = event.pointerId;
    this.begin(...this.#position(event));
  }

  #drag(event) {
    if (event.pointerId !== this.dragging) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.extend(...this.#position(each));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (x || y) {
      const distance = STEP * (event.shiftKey ? 4 : 1);
      this.#setPen({
        x: clamp(this.pen.x + x * distance, 0, SHEET.width), y: clamp(this.pen.y + y * distance, 0, SHEET.height),
        shown: true,
      });
      if (this.pen.down) this.extend(this.pen.x, this.pen.y);
    } else if (event.key === " " || event.key === "Enter") {
      const down = !this.pen.down;
      this.#stop();
      this.#setPen({ down, shown: true });
      if (down) this.begin(this.pen.x, this.pen.y);
    } else if (event.key === "Escape") {
      this.#setPen({ down: false });
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
  }

  #setPen(pen) {
    const before = JSON.stringify(this.pen);
    Object.assign(this.pen, pen);
    if (JSON.stringify(this.pen) !== before) this.onPen(this.pen);
  }
}

/** Points along a Catmull-Rom curve, as `scribble` draws it, through points in hundredths of the unit square. */
function curve(numbers) {
  const points = [];
  for (let i = 0; i < numbers.length; i += 2) points.push([numbers[i], numbers[i + 1]]);
  // The curve is extended in a straight line beyond both ends.
  const beyond = ([x, y], [toX, toY]) => [2 * x - toX, 2 * y - toY];
  const all = [beyond(points[0], points[1]), ...points, beyond(points.at(-1), points.at(-2))];
  const samples = [points[0]];
  for (let k = 1; k < points.length; k++) {
    for (let i = 1; i <= 8; i++) {
      const t = i / 8, t2 = t * t, t3 = t2 * t;
      const factors = [-t + 2 * t2 - t3, 2 - 5 * t2 + 3 * t3, t + 4 * t2 - 3 * t3, t3 - t2];
      samples.push([0, 1].map((axis) =>
        factors.reduce((sum, factor, j) => sum + (factor / 2) * all[k - 1 + j][axis], 0)));
    }
  }
  return samples.map(([x, y]) => [SHEET.width * (0.26 + 0.0048 * x), SHEET.height * (0.17 + 0.0066 * y)]);
}
