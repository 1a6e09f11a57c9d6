// The page: creates the views and connects them.

const net = JSON.parse(byId("net").textContent);
net.weights = decodeWeights(byId("weights").textContent);
if (net.confidence?.detector) {
  net.confidence.detector.weights = decodeWeights(byId("detector-weights").textContent);
}

let digits = [], selected = 0, frame = 0, inspectedField = null, inspectedLayer = null;

const answer = new Answer(net.classes, show);
const drawing = new Drawing(byId("drawing"), onDrawing, onPen);
const caption = "The input of the net: 28 × 28 gray levels, prepared like MNIST’s digits (longer side 20 pixels, " +
  "centered by mass).";
const announce = announcer(byId("announced-action"), 300);
const layers = net.layers.map((layer) => new Layer(layer, inspect));
byId("layers").append(...layers.map((layer) => layer.element));
const wideScreen = matchMedia("(min-width: 46rem)").matches;
layers.forEach((layer, i) => { layer.element.open = wideScreen || i === 0; });

function onDrawing() {
  byId("hint").hidden = !drawing.blank;
  byId("undo").disabled = !drawing.undoable;
  byId("clear").disabled = drawing.blank;
  frame ||= requestAnimationFrame(predict); // one prediction per frame, however often the pen moves
}

function predict() {
  frame = 0;
  const before = digits.length;
  digits = drawing.blank ? [] : splitDigits(drawing.ink(), SHEET, SHEET).map((ink) => {
    const prepared = prepare(ink, SHEET, SHEET), maps = run(net, prepared.image);
    return { prepared, maps, ...judge(maps.at(-1), prepared.image, net.confidence) };
  });
  // A new digit is the one to look at: writing goes from left to right.
  show(digits.length === before ? selected : Math.max(0, digits.length - 1));
}

function show(index) {
  selected = index;
  const { prepared, maps } = digits[selected] ?? {};
  answer.show(digits, selected);
  showLevels(byId("input"), prepared?.image ?? new Uint8Array(SIZE * SIZE));
  const ink = prepared ? `ink in ${prepared.h} rows and ${prepared.w} columns` : "blank";
  byId("input").setAttribute("aria-label", `Input of the net: 28 by 28 pixels, ${ink}`);
  layers.forEach((layer, i) => layer.show(maps && maps[i + 1]));
  outlineReceptiveField();
}

function onPen(pen) {
  const mark = byId("keyboard-pen");
  mark.hidden = !pen.shown;
  mark.classList.toggle("down", pen.down);
  Object.assign(mark.style, { left: `${(100 * pen.x) / SHEET}%`, top: `${(100 * pen.y) / SHEET}%` });
  const [row, column] = [pen.y, pen.x].map((pixels) => Math.round(pixels / STEP));
  if (pen.shown) announce(`pen ${pen.down ? "down" : "up"}, row ${row}, column ${column} of ${SIZE}`);
}

function inspect(layer, field, text) {
  if (!text && inspectedLayer !== layer) return;
  if (inspectedLayer !== layer) inspectedLayer?.leave();
  inspectedLayer = text ? layer : null;
  inspectedField = field;
  document.body.classList.toggle("inspecting", Boolean(inspectedLayer));
  byId("input-view").lastElementChild.textContent = text ?? caption;
  outlineReceptiveField();
  if (text) announce(text);
}

function outlineReceptiveField() {
  const box = inspectedField && cutToInput(inspectedField), prepared = digits[selected]?.prepared;
  showOutline(byId("input-outline"), box, SIZE);
  showOutline(byId("drawing-outline"), box && (prepared ? toDrawing(box, prepared) : null), SHEET);
}

const drawn = {}; // how often each sample has been drawn: the next time in another style

function drawSample(index) {
  const styles = net.samples[index];
  drawn[index] = (drawn[index] ?? -1) + 1;
  drawing.write(styles[drawn[index] % styles.length].map(curve));
  announce(`sample ${net.classes[index]}`);
}

for (const index of Object.keys(net.samples)) {
  const name = net.classes[index];
  const button = element("button", { type: "button", textContent: name, "aria-label": `Sample ${name}` });
  button.addEventListener("click", () => drawSample(index));
  byId("samples").append(button);
  byId("samples").hidden = byId("digit-keys").hidden = false;
}

byId("undo").addEventListener("click", () => drawing.undo());
byId("clear").addEventListener("click", () => drawing.clear());
document.addEventListener("keydown", (event) => {
  const modifier = event.ctrlKey || event.metaKey;
  const index = net.classes.indexOf(event.key);
  if (modifier && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    drawing.undo();
  } else if (!modifier && !event.altKey && index in net.samples) {
    drawSample(index);
  }
});

byId("input-view").lastElementChild.textContent = caption;
onDrawing();

// For tests that compare this page with Python.
window.netlet = {
  prepare: (ink, width, height) => Array.from(prepare(ink, width, height)?.image ?? []),
  maps: (image) => run(net, image).map((map) => Array.from(map)),
  logits: (image) => Array.from(run(net, image).at(-1)),
  judge: (image) => judge(run(net, image).at(-1), image, net.confidence),
  digits: (ink, width, height) => Array.from(groupPieces(ink, width, height)),
  fields: () => net.layers.map((layer) => layer.field && layer.field.map(
    (axis, i) => Array.from({ length: layer.shape[1 + i] }, (_, at) => interval(axis, at)))),
};
