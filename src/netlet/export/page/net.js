// The net of this page.

const byId = (id) => document.getElementById(id);
const net = JSON.parse(byId("net").textContent);
net.weights = decodeWeights(byId("weights").textContent);
if (net.confidence?.detector) {
  net.confidence.detector.weights = decodeWeights(byId("detector-weights").textContent);
}
const [CHANNELS, ROWS, COLUMNS] = net.shape; // of its input
