// The views: prediction, input, feature maps of each layer, and receptive fields.

const times = (...sizes) => sizes.join(" × ");

/** Create an element with properties and children; text is never parsed as markup. */
function element(tag, properties, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in created) created[name] = value;
    else created.setAttribute(name, value);
  }
  created.append(...children);
  return created;
}

/** Return a function that announces a text to screen readers once it has not changed for `delay` milliseconds. */
function announcer(region, delay) {
  let timer = 0;
  return (text) => {
    clearTimeout(timer);
    timer = setTimeout(() => { region.textContent = text; }, delay);
  };
}

/** The prediction, a button for each of several digits, and the table of one digit's probabilities. */
class Answer {
  #announce = announcer(byId("announced-answer"), 700);

  /** @param onSelect called with the number, from 0, of the digit whose probabilities and maps to show */
  constructor(classes, onSelect) {
    Object.assign(this, { classes, onSelect });
    this.separator = classes.some((name) => name.length > 1) ? " " : "";
    this.rows = classes.map((name) => {
      const bar = element("div", {}), percent = element("td", { textContent: "–" });
      const row = element("tr", {}, element("th", { scope: "row" }, element("span", { textContent: name })),
        element("td", { "aria-hidden": "true" }, element("div", { className: "bar" }, bar)), percent);
      byId("probabilities").append(row);
      return { row, bar, percent };
    });
  }

  show(digits, selected) {
    this.#showProbabilities(digits[selected]?.probabilities);
    this.#showButtons(digits, selected);
    const [name, rest] = byId("prediction").children, [first, ...others] = digits;
    const text = others.length ? digits.map((digit) => this.#label(digit, "?")).join(this.separator)
      : first ? this.#label(first, "unsure") : "–";
    Object.assign(name, { textContent: text, className: !first ? "none" : text.length > 8 ? "longest" : text.length > 3 ? "long" : "" });
    const next = first && `\nrunner-up: ${this.#spell(first.next, first.probabilities[first.next], "%")}`;
    rest.textContent = others.length ? digits.map((digit) => this.#describe(digit)).join("\n")
      : !first ? "" : (first.unsure ? `(${this.#guess(first)})` : formatPercent(first.confidence, "%")) + next;
    this.#announce(this.#speak(digits));
  }

  #showProbabilities(probabilities) {
    const highest = Math.max(...(probabilities ?? []));
    this.rows.forEach(({ row, bar, percent }, i) => {
      const p = probabilities?.[i];
      bar.style.width = `${100 * (p ?? 0)}%`;
      percent.textContent = p === undefined ? "–" : formatPercent(p, "%");
      row.className = p === highest ? "first" : "";
    });
  }

  /** A button for each digit; the same buttons stay while their number does, so that they keep the focus. */
  #showButtons(digits, selected) {
    const list = byId("digits"), count = digits.length > 1 ? digits.length : 0;
    list.hidden = !count;
    while (list.querySelectorAll("button").length > count) list.lastElementChild.remove();
    for (let i = list.querySelectorAll("button").length; i < count; i++) {
      const button = element("button", { type: "button" });
      button.addEventListener("click", () => this.onSelect(i));
      list.append(button);
    }
    list.querySelectorAll("button").forEach((button, i) => {
      button.textContent = this.#label(digits[i], "?");
      button.setAttribute("aria-label", `${net.words.label} ${i + 1} of ${count}: ${this.#describe(digits[i])}`);
      button.setAttribute("aria-pressed", i === selected);
    });
  }

  #label(digit, unsure) { return digit.unsure ? unsure : this.classes[digit.best]; }

  #guess(digit) { return `${this.classes[digit.best]} at ${formatPercent(digit.confidence, "%")}`; }

  #describe(digit) { return digit.unsure ? `unsure (${this.#guess(digit)})` : this.#guess(digit); }

  #spell(index, share, percent) { return `${this.classes[index]}, ${formatPercent(share, percent)}`; }

  #speak(digits) {
    const spoken = digits.map(({ unsure, best, confidence }) =>
      (unsure ? "unsure, " : "") + this.#spell(best, confidence, " percent"));
    if (digits.length > 1) return `${digits.length} ${net.words.many}: ${spoken.join("; ")}`;
    const [first] = digits;
    return first ? `${spoken[0]}; runner-up ${this.#spell(first.next, first.probabilities[first.next], " percent")}` : "";
  }
}

/** A share of 1 as "100.0" and a unit; a smaller one is never rounded up to that. */
const formatPercent = (share, unit) => (share < 1 ? Math.min(100 * share, 99.9) : 100).toFixed(1) + unit;

/** Paint levels C H W, gray or red, green and blue, onto a canvas of the same size. */
function showLevels(canvas, levels) {
  const size = canvas.width * canvas.height, last = levels.length - size;
  paint(canvas, levels.slice(0, size), (level, i) => [level, levels[Math.min(size, last) + i], levels[last + i]]);
}

function paint(canvas, values, color) {
  const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
  pixels.data.fill(255);
  for (let i = 0; i < values.length; i++) pixels.data.set(color(values[i], i), 4 * i);
  context.putImageData(pixels, 0, 0);
}

const BLACK = [13, 19, 23];
const COLORS = { positive: [[32, 160, 152], [235, 255, 252]], negative: [[214, 98, 34], [255, 240, 226]] };

/**
 * Black to teal to white for positive numbers, to orange for negative ones, on a scale up to `largest`. The exponent
 * makes small values visible.
 */
function colorOf(value, largest) {
  const share = largest ? Math.min(Math.abs(value) / largest, 1) ** 0.7 : 0;
  const [middle, end] = value < 0 ? COLORS.negative : COLORS.positive;
  const [from, to, weight] = share < 0.6 ? [BLACK, middle, share / 0.6] : [middle, end, (share - 0.6) / 0.4];
  return from.map((level, i) => level + weight * (to[i] - level));
}

/** One layer: a line that describes it and, once opened, its feature maps. */
class Layer {
  values = null;
  at = { channel: 0, row: 0, column: 0 };

  /** @param onInspect called with this, a receptive field and a text; with null when inspection ends */
  constructor(layer, onInspect) {
    const [channels, rows, columns] = layer.shape;
    Object.assign(this, { layer, onInspect });
    this.maps = element("div", {
      className: "maps", tabIndex: 0, role: "application",
      "aria-roledescription": "feature maps", "aria-describedby": "keyboard-help",
      "aria-label": `Feature maps of ${layer.name}: ${channels} of ${rows} by ${columns}`,
    });
    this.element = element("details", { className: "layer" },
      element("summary", {}, element("code", { textContent: layer.name || "(net)" }),
        ...[describeLayer(layer), times(...layer.shape), describeField(layer)]
          .map((text) => element("span", {}, text)),
        ...(layer.folded ? [element("span", { className: "folded" }, `includes ${layer.folded.join(", ")}`)] : [])),
      this.maps);
    this.element.addEventListener("toggle", () => this.#createMaps());
    this.maps.addEventListener("pointermove", (event) => this.#point(event));
    this.maps.addEventListener("pointerdown", (event) => this.#point(event));
    this.maps.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && document.activeElement !== this.maps) this.leave();
    });
    this.maps.addEventListener("focus", () => { if (this.maps.matches(":focus-visible")) this.#select(this.at); });
    this.maps.addEventListener("blur", () => this.leave());
    this.maps.addEventListener("keydown", (event) => this.#key(event));
  }

  show(values) {
    this.values = values;
    if (!this.element.open) return;
    const [, rows, columns] = this.layer.shape;
    const largest = values ? values.reduce((a, v) => Math.max(a, Math.abs(v)), 0) : 0;
    [...this.maps.children].forEach((map, channel) => {
      const size = rows * columns, channelValues = values?.subarray(channel * size, (channel + 1) * size);
      paint(map.firstChild, channelValues ?? new Float32Array(size), (value) => colorOf(value, largest));
    });
    if (this.maps.classList.contains("inspected")) this.#describe();
  }

  leave() {
    this.maps.classList.remove("inspected");
    this.#selectedMap()?.classList.remove("selected");
    this.onInspect(this, null);
  }

  #selectedMap() { return this.maps.children[this.at.channel]; }

  #createMaps() {
    const [channels, rows, columns] = this.layer.shape;
    if (this.element.open && !this.maps.children.length) {
      // A whole number of screen pixels for each value.
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
    this.#select({
      channel: [...this.maps.children].indexOf(map),
      row: clamp(Math.floor(((event.clientY - box.top) / box.height) * rows), 0, rows - 1),
      column: clamp(Math.floor(((event.clientX - box.left) / box.width) * columns), 0, columns - 1),
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
    this.#select({
      channel: clamp(to.channel, 0, channels - 1), row: clamp(to.row, 0, rows - 1),
      column: clamp(to.column, 0, columns - 1),
    });
  }

  #select(position) {
    const [, rows, columns] = this.layer.shape;
    this.#selectedMap()?.classList.remove("selected");
    this.at = position;
    this.#selectedMap()?.classList.add("selected");
    this.maps.classList.add("inspected");
    const cell = { x: position.column / columns, y: position.row / rows, w: 1 / columns, h: 1 / rows };
    for (const [name, share] of Object.entries(cell)) this.maps.style.setProperty(`--${name}`, share);
    this.#describe();
  }

  #describe() {
    const { channel, row, column } = this.at, [, rows, columns] = this.layer.shape;
    const value = this.values?.[(channel * rows + row) * columns + column];
    const field = receptiveField(this.layer, row, column);
    const last = field && [field.y + field.height - 1, field.x + field.width - 1];
    const padding = field && (Math.min(field.y, field.x) < 0 || last[0] >= ROWS || last[1] >= COLUMNS)
      ? ", padding included" : "";
    const dependsOn = field
      ? `depends on input rows ${field.y} to ${last[0]}, columns ${field.x} to ${last[1]}${padding}`
      : "receptive field unknown";
    const number = value === undefined ? "" : ` is ${Number(value.toPrecision(3))}`;
    const position = `${this.layer.name}, channel ${channel}, row ${row}, column ${column}`;
    this.onInspect(this, field, `${position}${number}; ${dependsOn}.`);
  }
}

function describeLayer({ kind, function: name, window, stride, groups, shape, global }) {
  if (global) return `global average pooling ${times(...window)}`;
  if (kind === "activation") return name.replace("_", " ");
  if (!window || kind === "crop") return kind;
  const steps = stride[0] === stride[1] ? stride[0] : times(...stride);
  const type = groups > 1 && groups === shape[0] ? "depthwise" : kind;
  return `${type} ${times(...window)}${groups && steps !== 1 ? `, stride ${steps}` : ""}`;
}

function describeField({ field }) {
  if (!field) return "field unknown";
  const jumps = field.map((axis) => axis.jump), jump = jumps[0] === jumps[1] ? jumps[0] : times(...jumps);
  const extent = times(...field.map((axis) => axis.extent));
  return `field ${extent}${jumps.includes(undefined) ? "" : `, jump ${jump}`}`;
}

/** Place an outline on a box in an area of `width` x `height`; null hides it. */
function showOutline(mark, box, { width, height }) {
  mark.hidden = !box;
  if (!box) return;
  const shares = { left: box.x / width, top: box.y / height, width: box.width / width, height: box.height / height };
  for (const [name, share] of Object.entries(shares)) mark.style[name] = `${100 * share}%`;
}
