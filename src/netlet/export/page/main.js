// The parts of the page, put together.

const net = JSON.parse(byId("net").textContent);
const bytes = Uint8Array.from(atob(byId("weights").textContent.trim()), (c) => c.charCodeAt(0));
net.weights = new Float32Array(bytes.buffer); // little-endian, as every machine that runs a browser is

let prepared = null, waiting = 0, lookedAt = null, looking = null;

const answer = new Answer(net.classes);
const drawing = new Drawing(byId("drawing"), changed, moved);
const caption = "What the net sees: 28 × 28 grey levels, prepared as MNIST’s digits were, the longer side 20 pixels, " +
  "centred by mass.";
const tell = announcer(byId("told"), 300);
const layers = net.layers.map((layer) => new Layer(layer, lookAt));
byId("layers").append(...layers.map((layer) => layer.element));
const roomy = matchMedia("(min-width: 46rem)").matches;
layers.forEach((layer, i) => { layer.element.open = roomy || i === 0; });

function changed() {
  byId("hint").hidden = !drawing.blank;
  byId("undo").disabled = !drawing.undoable;
  byId("clear").disabled = drawing.blank;
  waiting ||= requestAnimationFrame(predict); // many movements of the pen, one answer a frame
}

function predict() {
  waiting = 0;
  prepared = drawing.blank ? null : prepare(drawing.ink(), SHEET, SHEET);
  const maps = prepared && run(net, prepared.image);
  answer.show(maps && softmax(maps.at(-1)));
  showLevels(byId("seen"), prepared?.image ?? new Uint8Array(SIZE * SIZE));
  const ink = prepared ? `ink in ${prepared.h} rows and ${prepared.w} columns` : "blank";
  byId("seen").setAttribute("aria-label", `What the net sees: 28 by 28 pixels, ${ink}`);
  layers.forEach((layer, i) => layer.show(maps && maps[i + 1]));
  outlineField();
}

function moved(pen) {
  const mark = byId("pen");
  mark.hidden = !pen.shown;
  mark.classList.toggle("down", pen.down);
  Object.assign(mark.style, { left: `${(100 * pen.x) / SHEET}%`, top: `${(100 * pen.y) / SHEET}%` });
  const [row, column] = [pen.y, pen.x].map((pixels) => Math.round(pixels / STEP));
  if (pen.shown) tell(`pen ${pen.down ? "down" : "up"}, row ${row}, column ${column} of ${SIZE}`);
}

function lookAt(layer, field, text) {
  if (!text && looking !== layer) return;
  if (looking !== layer) looking?.leave();
  looking = text ? layer : null;
  lookedAt = field;
  document.body.classList.toggle("looking", Boolean(looking));
  byId("sight").lastElementChild.textContent = text ?? caption;
  outlineField();
  if (text) tell(text);
}

function outlineField() {
  const part = lookedAt && withinFrame(lookedAt);
  outline(byId("on-seen"), part, SIZE);
  outline(byId("on-drawing"), part && (prepared ? onInk(part, prepared) : null), SHEET);
}

const written = {}; // how often each sample has been asked for: each time it is written in another way

function sample(index) {
  const ways = net.samples[index];
  written[index] = (written[index] ?? -1) + 1;
  drawing.write(ways[written[index] % ways.length].map(curve));
  tell(`sample ${net.classes[index]}`);
}

for (const index of Object.keys(net.samples)) {
  const name = net.classes[index];
  const button = element("button", { type: "button", textContent: name, "aria-label": `Sample ${name}` });
  button.addEventListener("click", () => sample(index));
  byId("samples").append(button);
  byId("samples").hidden = byId("digit-keys").hidden = false;
}

byId("undo").addEventListener("click", () => drawing.undo());
byId("clear").addEventListener("click", () => drawing.clear());
document.addEventListener("keydown", (event) => {
  const held = event.ctrlKey || event.metaKey;
  const index = net.classes.indexOf(event.key);
  if (held && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    drawing.undo();
  } else if (!held && !event.altKey && index in net.samples) {
    sample(index);
  }
});

byId("sight").lastElementChild.textContent = caption;
changed();

// For whoever checks that this page computes what netlet does.
window.netlet = {
  prepare: (ink, width, height) => Array.from(prepare(ink, width, height)?.image ?? []),
  maps: (image) => run(net, image).map((map) => Array.from(map)),
  logits: (image) => Array.from(run(net, image).at(-1)),
  fields: () => net.layers.map((layer) => layer.field && layer.field.map(
    (axis, i) => Array.from({ length: layer.shape[1 + i] }, (_, at) => interval(axis, at)))),
};
