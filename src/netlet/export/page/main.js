// The page: creates the views and connects them.

let answers = [], selected = 0, request = 0, inspectedField = null, inspectedLayer = null, opening = 0;
let showPaper = () => {}; // marks the button of the paper's color

const WHOLE_SHEET = { y: 0, x: 0, ...SHEET, h: ROWS, w: COLUMNS, top: 0, left: 0 }; // as the result of `prepare`
const answer = new Answer(net.classes, show);
const drawing = new Drawing(byId("drawing"), onDrawing, onPen);
const { caption } = net.words;
const announce = announcer(byId("announced-action"), 300);
const layers = net.layers.map((layer) => new Layer(layer, inspect));
byId("layers").append(...layers.map((layer) => layer.element));
const wideScreen = matchMedia("(min-width: 46rem)").matches;
layers.forEach((layer, i) => { layer.element.open = wideScreen || i === 0; });

function onDrawing() {
  byId("hint").hidden = !drawing.blank;
  byId("undo").disabled = !drawing.undoable;
  byId("clear").disabled = byId("share").disabled = drawing.blank;
  byId("link").hidden = true;
  notify("");
  showPaper();
  request ||= requestAnimationFrame(predict); // one prediction per frame, however often the pen moves
}

function predict() {
  request = 0;
  const before = answers.length;
  answers = inputs().map((prepared) => {
    const maps = run(net, prepared.image);
    return { prepared, maps, ...judge(maps.at(-1), prepared.image, net.confidence) };
  });
  // A new digit is the one to look at: writing goes from left to right.
  show(answers.length === before ? selected : Math.max(0, answers.length - 1));
}

/** The inputs of the net in what is drawn, from left to right. */
function inputs() {
  if (drawing.blank) return [];
  if (drawing.picture) return drawing.picture.inputs;
  if (net.whole) return [{ image: sheetLevels(), ...WHOLE_SHEET }];
  return splitDigits(drawing.ink(), SHEET.width, SHEET.height).map((ink) => frame(ink, SHEET.width, SHEET.height));
}

/** Ink in MNIST's frame, the same in each channel of the net. */
function frame(ink, width, height) {
  const prepared = prepare(ink, width, height), size = ROWS * COLUMNS;
  return { ...prepared, image: Uint8Array.from({ length: CHANNELS * size }, (_, i) => prepared.image[i % size]) };
}

/** The whole sheet, averaged to the input of the net. */
function sheetLevels() {
  const sheet = { y: 0, x: 0, ...SHEET }, image = new Uint8Array(CHANNELS * ROWS * COLUMNS);
  for (let channel = 0; channel < CHANNELS; channel++) {
    image.set(average(drawing.plane(channel), SHEET.width, sheet, ROWS, COLUMNS), channel * ROWS * COLUMNS);
  }
  return image;
}

function show(index) {
  selected = index;
  const { prepared, maps } = answers[selected] ?? {};
  answer.show(answers, selected);
  showLevels(byId("input"), prepared?.image ?? new Uint8Array(CHANNELS * ROWS * COLUMNS));
  const ink = !prepared ? "blank" : net.whole ? "as drawn" : `ink in ${prepared.h} rows and ${prepared.w} columns`;
  byId("input").setAttribute("aria-label", `Input of the net: ${ROWS} by ${COLUMNS} pixels, ${ink}`);
  layers.forEach((layer, i) => layer.show(maps && maps[i + 1]));
  outlineReceptiveField();
}

function onPen(pen) {
  const mark = byId("keyboard-pen");
  mark.hidden = !pen.shown;
  mark.classList.toggle("down", pen.down);
  Object.assign(mark.style, { left: `${(100 * pen.x) / SHEET.width}%`, top: `${(100 * pen.y) / SHEET.height}%` });
  const [row, column] = [pen.y, pen.x].map((pixels) => Math.round(pixels / STEP));
  const size = ROWS === COLUMNS ? ROWS : `${ROWS} by ${COLUMNS}`;
  if (pen.shown) announce(`pen ${pen.down ? "down" : "up"}, row ${row}, column ${column} of ${size}`);
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
  const box = inspectedField && cutToInput(inspectedField), prepared = answers[selected]?.prepared;
  showOutline(byId("input-outline"), box, { width: COLUMNS, height: ROWS });
  showOutline(byId("drawing-outline"), box && (prepared ? toDrawing(box, prepared) : null), SHEET);
}

// --- Pictures and links.

/** Say in one line what went wrong; an empty text removes it. */
function notify(text) { byId("notice").textContent = text; }

async function openPicture(file) {
  const turn = ++opening, name = file.name || "the picture";
  notify(`reading ${name}`);
  try {
    const picture = await decodePicture(file);
    if (turn !== opening) return; // another one has been opened since
    drawing.show({ picture: net.whole ? showWhole(picture) : showInks(readInks(picture)) });
  } catch (error) {
    if (turn === opening) notify(`${name}: ${error.message}`);
  }
}

function newSheet() {
  const canvas = element("canvas", SHEET), context = canvas.getContext("2d");
  return { canvas, context };
}

/** Paint values onto a canvas of their own; `color` gives red, green, blue and opacity of each. */
function paintedCanvas(values, width, height, color) {
  const canvas = element("canvas", { width, height }), context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set(color(values[i], i), 4 * i);
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const inkColor = (level) => [0, 0, 0, level];

/** The inks of a picture as inputs, and a sheet that shows them where they are in the picture. */
function showInks({ width, height, inks }) {
  const { canvas, context } = newSheet(), scale = Math.min(SHEET.width / width, SHEET.height / height);
  const left = (SHEET.width - scale * width) / 2, top = (SHEET.height - scale * height) / 2;
  const found = inks.map((ink) => {
    const painted = paintedCanvas(ink.levels, ink.width, ink.height, inkColor);
    context.drawImage(painted, left + scale * ink.x, top + scale * ink.y, scale * ink.width, scale * ink.height);
    const prepared = frame(ink.levels, ink.width, ink.height);
    return {
      ...prepared, y: top + scale * (ink.y + prepared.y), x: left + scale * (ink.x + prepared.x),
      height: scale * prepared.height, width: scale * prepared.width,
    };
  });
  return { inputs: found, sheet: canvas };
}

/** A whole picture as the input, and a sheet that shows it. */
function showWhole(picture) {
  const { image, part } = readWhole(picture), { canvas, context } = newSheet(), planes = wholeLevels(picture);
  const painted = paintedCanvas(planes[0], picture.width, picture.height, (level, i) =>
    [level, (planes[1] ?? planes[0])[i], (planes[2] ?? planes[0])[i], 255]);
  context.drawImage(painted, part.x, part.y, part.width, part.height, 0, 0, SHEET.width, SHEET.height);
  return { inputs: [{ image, ...WHOLE_SHEET }], sheet: canvas };
}

/** Inputs from a link, and a sheet that shows them side by side. */
function showImages(images) {
  const { canvas, context } = newSheet(), side = SHEET.width / images.length;
  const scale = Math.min(side / COLUMNS, SHEET.height / ROWS), size = ROWS * COLUMNS;
  context.imageSmoothingEnabled = false;
  const found = images.map((image, i) => {
    const last = image.length - size, left = i * side + (side - scale * COLUMNS) / 2;
    const top = (SHEET.height - scale * ROWS) / 2;
    const color = net.whole
      ? (level, at) => [level, image[Math.min(size, last) + at], image[last + at], 255] : inkColor;
    context.drawImage(
      paintedCanvas(image, COLUMNS, ROWS, color), left, top, scale * COLUMNS, scale * ROWS);
    const box = boundingBox(image, COLUMNS, ROWS) ?? { y: 0, x: 0, height: ROWS, width: COLUMNS };
    return net.whole ? { image, ...WHOLE_SHEET } : {
      image, h: box.height, w: box.width, top: box.y, left: box.x, y: top + scale * box.y, x: left + scale * box.x,
      height: scale * box.height, width: scale * box.width,
    };
  });
  return { inputs: found, sheet: canvas };
}

function openLink() {
  try {
    const shared = fromFragment(location.hash);
    if (!shared) return;
    if (shared.images && !shared.images.length) throw new Error(DAMAGED);
    drawing.show(shared.images ? { picture: showImages(shared.images) } : shared);
  } catch (error) {
    const reason = error instanceof DOMException ? DAMAGED : error.message;
    notify(`The drawing in the link was ignored: ${reason}.`);
  }
}

async function share() {
  history.replaceState(null, "", toFragment(drawing));
  Object.assign(byId("link"), { value: location.href, hidden: false });
  byId("link").select();
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  announce(copied ? "link copied" : "link selected, copy it");
  notify(copied ? "Link copied. It holds the drawing; nothing is uploaded." : "Copy this link. It holds the drawing.");
}

byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) openPicture(target.files[0]);
  target.value = ""; // so that the same file can be opened again
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) openPicture(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) openPicture(file);
});
byId("share").hidden = !/^(file|https?):$/.test(location.protocol); // in a notebook's frame there is no link
byId("share").addEventListener("click", share);
addEventListener("hashchange", openLink);

// --- Samples, colors and keys.

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

/** Buttons for the colors, of which one is pressed. */
function offerColors(list, label, pressed, onChoice) {
  const buttons = COLOR_NAMES.map((name, i) => {
    const button = element("button", { type: "button", title: name, "aria-label": `${label} ${name}` });
    button.style.background = COLOR_CODES[i];
    button.addEventListener("click", () => onChoice(i));
    return button;
  });
  byId(list).append(...buttons);
  byId(list).hidden = false;
  return () => buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === pressed()));
}

if (net.whole) {
  document.body.classList.add("whole");
  drawing.paper = COLOR_NAMES.indexOf(net.paper);
  drawing.color = COLOR_NAMES.indexOf(net.paper === "black" ? "white" : "black");
  const refreshPens = offerColors("pens", "Pen", () => drawing.color, (color) => {
    drawing.color = color;
    refreshPens();
  });
  const refreshPapers = offerColors("papers", "Paper", () => drawing.paper, (paper) =>
    drawing.show({ strokes: drawing.strokes, picture: drawing.picture, paper }));
  refreshPens();
  showPaper = refreshPapers;
}

byId("undo").addEventListener("click", () => drawing.undo());
byId("clear").addEventListener("click", () => drawing.clear());
document.addEventListener("keydown", (event) => {
  const modifier = event.ctrlKey || event.metaKey, writing = event.target.matches?.("input:not([readonly])");
  const index = net.classes.indexOf(event.key);
  if (modifier && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    drawing.undo();
  } else if (!modifier && !event.altKey && !writing && index in net.samples) {
    drawSample(index);
  }
});

Object.assign(byId("input"), { width: COLUMNS, height: ROWS });
byId("input-view").lastElementChild.textContent = caption;
drawing.redraw();
openLink();

// For tests that compare this page with Python.
window.netlet = {
  prepare: (ink, width, height) => Array.from(prepare(ink, width, height)?.image ?? []),
  maps: (image) => run(net, image).map((map) => Array.from(map)),
  logits: (image) => Array.from(run(net, image).at(-1)),
  judge: (image) => judge(run(net, image).at(-1), image, net.confidence),
  digits: (ink, width, height) => Array.from(groupPieces(ink, width, height)),
  inputs: () => inputs().map(({ image }) => Array.from(image)),
  fields: () => net.layers.map((layer) => layer.field && layer.field.map(
    (axis, i) => Array.from({ length: layer.shape[1 + i] }, (_, at) => interval(axis, at)))),
};
