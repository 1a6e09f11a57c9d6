// What a person sees and hears: the answer, the frame of 28x28, each layer's maps, and where a place in them looks.

const byId = (id) => document.getElementById(id);
const times = (...sizes) => sizes.join(" × ");

/** An element with its properties and children; text is text, never markup. */
function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Say a text to who listens to the page, once nothing has changed for a moment. */
function announcer(region, after) {
  let waiting = 0;
  return (text) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { region.textContent = text; }, after);
  };
}

/** The table of probabilities and the line above it. */
class Answer {
  #say = announcer(byId("said"), 700);

  constructor(classes) {
    this.classes = classes;
    this.rows = classes.map((name) => {
      const bar = element("div", {}), percent = element("td", { textContent: "–" });
      const row = element("tr", {}, element("th", { scope: "row", textContent: name }),
        element("td", { "aria-hidden": "true" }, element("div", { className: "bar" }, bar)), percent);
      byId("probabilities").append(row);
      return { row, bar, percent };
    });
  }

  show(probabilities) {
    const order = (probabilities ?? []).map((p, i) => [p, this.classes[i]]).sort((a, b) => b[0] - a[0]);
    const highest = Math.max(...(probabilities ?? []));
    this.rows.forEach(({ row, bar, percent }, i) => {
      const p = probabilities?.[i];
      bar.style.width = `${100 * (p ?? 0)}%`;
      percent.textContent = p === undefined ? "–" : `${(100 * p).toFixed(1)} %`;
      row.className = p === highest ? "first" : "";
    });
    const [best, next] = order, [name, rest] = byId("best").children;
    name.textContent = best ? best[1] : "–";
    name.className = !best ? "none" : best[1].length > 3 ? "word" : "";
    rest.textContent = best ? `${whole(best[0])} %\nnext ${next[1]}, ${whole(next[0])} %` : "";
    this.#say(best ? `${best[1]}, ${whole(best[0])} percent; next ${next[1]}, ${whole(next[0])} percent` : "");
  }
}

const whole = (share) => Math.round(100 * share);

/** Grey levels onto a canvas of as many pixels. */
function showLevels(canvas, levels) {
  paint(canvas, levels, (level) => [level, level, level]);
}

function paint(canvas, values, colour) {
  const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
  pixels.data.fill(255);
  for (let i = 0; i < values.length; i++) pixels.data.set(colour(values[i]), 4 * i);
  context.putImageData(pixels, 0, 0);
}

const BLACK = [13, 19, 23];
const HUES = { above: [[32, 160, 152], [235, 255, 252]], below: [[214, 98, 34], [255, 240, 226]] };

/** Black to teal to white for numbers above 0, to orange for those below; `largest` is as far as either goes. The power
 *  lifts what is faint. */
function colourOf(value, largest) {
  const share = largest ? Math.min(Math.abs(value) / largest, 1) ** 0.7 : 0;
  const [middle, end] = value < 0 ? HUES.below : HUES.above;
  const [from, to, way] = share < 0.6 ? [BLACK, middle, share / 0.6] : [middle, end, (share - 0.6) / 0.4];
  return from.map((level, i) => level + way * (to[i] - level));
}

/** One layer: a line that says what it is and, once opened, its maps. */
class Layer {
  values = null;
  at = { channel: 0, row: 0, column: 0 };

  /** @param pointed called with this, what a place depends on and a text; with null when none is pointed at any more */
  constructor(layer, pointed) {
    const [channels, rows, columns] = layer.shape;
    Object.assign(this, { layer, pointed });
    this.maps = element("div", {
      className: "maps", tabIndex: 0, role: "application",
      "aria-roledescription": "feature maps", "aria-describedby": "keys",
      "aria-label": `Maps of ${layer.name}: ${channels} of ${rows} by ${columns}`,
    });
    this.element = element("details", { className: "layer" },
      element("summary", {}, element("code", { textContent: layer.name || "(net)" }),
        ...[described(layer), times(...layer.shape), seenBy(layer)].map((text) => element("span", {}, text))),
      this.maps);
    this.element.addEventListener("toggle", () => this.#fill());
    this.maps.addEventListener("pointermove", (event) => this.#point(event));
    this.maps.addEventListener("pointerdown", (event) => this.#point(event));
    this.maps.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && document.activeElement !== this.maps) this.leave();
    });
    this.maps.addEventListener("focus", () => { if (this.maps.matches(":focus-visible")) this.#go(this.at); });
    this.maps.addEventListener("blur", () => this.leave());
    this.maps.addEventListener("keydown", (event) => this.#key(event));
  }

  show(values) {
    this.values = values;
    if (!this.element.open) return;
    const [, rows, columns] = this.layer.shape;
    const largest = values ? values.reduce((a, v) => Math.max(a, Math.abs(v)), 0) : 0;
    [...this.maps.children].forEach((map, channel) => {
      const size = rows * columns, mine = values?.subarray(channel * size, (channel + 1) * size);
      paint(map.firstChild, mine ?? new Float32Array(size), (value) => colourOf(value, largest));
    });
    if (this.maps.classList.contains("pointed")) this.#tell();
  }

  leave() {
    this.maps.classList.remove("pointed");
    this.#chosen()?.classList.remove("chosen");
    this.pointed(this, null);
  }

  #chosen() { return this.maps.children[this.at.channel]; }

  #fill() {
    const [channels, rows, columns] = this.layer.shape;
    if (this.element.open && !this.maps.children.length) {
      // Each number a whole number of pixels wide.
      const scale = Math.max(1, rows * columns === 1 ? 26 : Math.floor(56 / Math.max(rows, columns)));
      for (let channel = 0; channel < channels; channel++) {
        const canvas = element("canvas", { width: columns, height: rows });
        Object.assign(canvas.style, { width: `${scale * columns}px`, height: `${scale * rows}px` });
        this.maps.append(element("div", { className: "map" }, canvas));
      }
    }
    this.show(this.values);
  }

  #point(event) {
    const map = event.target.closest(".map");
    if (!map) return;
    const [, rows, columns] = this.layer.shape, box = map.getBoundingClientRect();
    this.#go({
      channel: [...this.maps.children].indexOf(map),
      row: clamped(Math.floor(((event.clientY - box.top) / box.height) * rows), 0, rows - 1),
      column: clamped(Math.floor(((event.clientX - box.left) / box.width) * columns), 0, columns - 1),
    });
  }

  #key(event) {
    const [channels, rows, columns] = this.layer.shape, { channel, row, column } = this.at;
    const move = {
      ArrowLeft: { column: column - 1 }, ArrowRight: { column: column + 1 }, ArrowUp: { row: row - 1 },
      ArrowDown: { row: row + 1 }, PageUp: { channel: channel - 1 }, PageDown: { channel: channel + 1 },
    }[event.key];
    if (event.key === "Escape") this.leave();
    if (!move) return;
    event.preventDefault();
    const to = { ...this.at, ...move };
    this.#go({
      channel: clamped(to.channel, 0, channels - 1), row: clamped(to.row, 0, rows - 1),
      column: clamped(to.column, 0, columns - 1),
    });
  }

  #go(place) {
    const [, rows, columns] = this.layer.shape;
    this.#chosen()?.classList.remove("chosen");
    this.at = place;
    this.#chosen()?.classList.add("chosen");
    this.maps.classList.add("pointed");
    const marks = { x: place.column / columns, y: place.row / rows, w: 1 / columns, h: 1 / rows };
    for (const [name, share] of Object.entries(marks)) this.maps.style.setProperty(`--${name}`, share);
    this.#tell();
  }

  #tell() {
    const { channel, row, column } = this.at, [, rows, columns] = this.layer.shape;
    const value = this.values?.[(channel * rows + row) * columns + column];
    const field = fieldOf(this.layer, row, column);
    const last = field && [field.y + field.height - 1, field.x + field.width - 1];
    const padding = field && (Math.min(field.y, field.x) < 0 || Math.max(...last) >= SIZE) ? ", padding included" : "";
    const sees = field
      ? `sees rows ${field.y} to ${last[0]}, columns ${field.x} to ${last[1]}${padding}`
      : "what it sees is not known";
    const number = value === undefined ? "" : ` is ${Number(value.toPrecision(3))}`;
    const place = `${this.layer.name}, channel ${channel}, row ${row}, column ${column}`;
    this.pointed(this, field, `${place}${number}; ${sees}.`);
  }
}

function described({ kind, function: name, window, stride, groups, shape }) {
  if (kind === "activation") return name.replace("_", " ");
  if (!window) return kind;
  const steps = stride[0] === stride[1] ? stride[0] : times(...stride);
  const word = groups > 1 && groups === shape[0] ? "depthwise" : kind;
  return `${word} ${times(...window)}${groups && steps !== 1 ? `, stride ${steps}` : ""}`;
}

function seenBy({ field }) {
  if (!field) return "field not known";
  const jumps = field.map((axis) => axis.jump), jump = jumps[0] === jumps[1] ? jumps[0] : times(...jumps);
  return `field ${times(...field.map((axis) => axis.extent))}${jumps.includes(undefined) ? "" : `, jump ${jump}`}`;
}

/** Put an outline over a part of a square whose side is `side`; null hides it. */
function outline(mark, part, side) {
  mark.hidden = !part;
  if (!part) return;
  const place = { left: part.x, top: part.y, width: part.width, height: part.height };
  for (const [name, pixels] of Object.entries(place)) mark.style[name] = `${(100 * pixels) / side}%`;
}
