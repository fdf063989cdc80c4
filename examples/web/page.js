// The page: a photo, clicks on it, and the mask of what they mean.

const MODEL = new URL("./model/", import.meta.url).href;
const SAMPLE = new URL("../coffee.jpg", import.meta.url).href;
const LONGEST = 1600; // pixels of the canvas; masks are as fine as it is
const TINT = [0, 114, 178, 130], EDGE = [255, 255, 255, 255];
const COLOURS = { 1: "#009e73", 0: "#d55e00" };

const $ = (id) => document.getElementById(id);
const layers = ["photo", "mask", "clicks"].map($);
const context = Object.fromEntries(layers.map((canvas) => [canvas.id, canvas.getContext("2d")]));

let photo = null; // { width, height } of the file, once it was looked at
let opened = 0; // how many photos were; the newest counts
let clicks = []; // { x, y, label } in pixels of the canvas
let isAsking = false;

// The worker's answers, as promises.

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const waiting = new Map();

function ask(job, ...given) {
  const id = crypto.getRandomValues(new Uint32Array(1))[0];
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, job, given });
  });
}

worker.onmessage = ({ data: { id, result, error, progress } }) => {
  if (progress) return say(progress.text, progress.part);
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve(result);
  else reject(new Error(error));
};
worker.onerror = () => fail(new Error("the worker of the page has died; reload the page"));

// What is going on

function say(text, part) {
  $("status").textContent = text;
  $("status").className = "";
  $("progress").hidden = part === undefined;
  if (part !== undefined) $("progress").value = part;
}

function fail(error) {
  say(error.message);
  $("status").className = "error";
}

// Photos

async function open(file) {
  const turn = ++opened;
  const picture = await read(file);
  if (turn !== opened) return;
  photo = null;
  clicks = [];
  const { width, height } = picture;
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  for (const canvas of layers) { // which clears them
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  context.photo.drawImage(picture.canvas, 0, 0, $("photo").width, $("photo").height);
  say("Looking at the photo, once for all clicks");
  const start = performance.now();
  await ask("embed", { data: picture.data, width, height });
  if (turn !== opened) return;
  photo = { width, height };
  say(`Click on something (the photo took ${Math.round(performance.now() - start)} ms)`);
}

async function read(file) {
  let bitmap;
  try {
    // Colours as they are stored, as samkit reads them; turned as EXIF says.
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name ?? "this"} is no picture that this browser can read`);
  }
  const { width, height } = bitmap;
  try {
    const canvas = new OffscreenCanvas(width, height);
    const pixels = canvas.getContext("2d", { willReadFrequently: true });
    pixels.drawImage(bitmap, 0, 0);
    return { canvas, width, height, data: pixels.getImageData(0, 0, width, height).data };
  } catch {
    throw new Error(`a picture of ${width} x ${height} pixels is too large for this browser`);
  } finally {
    bitmap.close();
  }
}

// Clicks and masks

async function update() {
  drawClicks();
  if (isAsking) return; // the newest clicks are asked about when the answer is there
  isAsking = true;
  try {
    for (let asked = null; photo && asked !== clicks;) {
      asked = clicks;
      if (asked.length === 0) {
        drawMask(null);
        continue;
      }
      const { width, height } = $("mask");
      const [right, down] = [photo.width / width, photo.height / height];
      const start = performance.now();
      const points = asked.map(({ x, y, label }) => ({ x: x * right, y: y * down, label }));
      const { mask, score } = await ask("predict", points, { width, height });
      if (asked !== clicks) continue;
      drawMask(mask);
      say(`Predicted IoU ${score.toFixed(2)}, ${Math.round(performance.now() - start)} ms`);
    }
  } finally {
    isAsking = false;
  }
}

function drawMask(mask) {
  const { width, height } = $("mask");
  const picture = new ImageData(width, height);
  for (let i = 0; mask && i < mask.length; i++) {
    if (!mask[i]) continue;
    const isEdge = !mask[i - 1] || !mask[i + 1] || !mask[i - width] || !mask[i + width];
    picture.data.set(isEdge ? EDGE : TINT, 4 * i);
  }
  context.mask.putImageData(picture, 0, 0);
}

function drawClicks() {
  const { width, height } = $("clicks");
  context.clicks.clearRect(0, 0, width, height);
  const radius = (6 * width) / $("clicks").clientWidth; // 6 pixels of the screen
  for (const { x, y, label } of clicks) {
    context.clicks.beginPath();
    context.clicks.arc(x, y, radius, 0, 2 * Math.PI);
    context.clicks.fillStyle = COLOURS[label];
    context.clicks.strokeStyle = "white";
    context.clicks.lineWidth = radius / 3;
    context.clicks.fill();
    context.clicks.stroke();
  }
}

function change(newClicks) {
  clicks = newClicks;
  if (clicks.length === 0 && photo) say("Click on something");
  update().catch(fail);
}

function click(event) {
  event.preventDefault();
  if (!photo) return;
  const box = $("clicks").getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * $("clicks").width;
  const y = ((event.clientY - box.top) / box.height) * $("clicks").height;
  const isOutside = event.shiftKey || event.type === "contextmenu" || $("outside").checked;
  change([...clicks, { x, y, label: isOutside ? 0 : 1 }]);
}

$("clicks").addEventListener("click", click);
$("clicks").addEventListener("contextmenu", click);
$("open").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]).catch(fail);
  target.value = ""; // so that the same file can be chosen again
});
$("undo").addEventListener("click", () => change(clicks.slice(0, -1)));
$("reset").addEventListener("click", () => change([]));
addEventListener("keydown", (event) => {
  if (event.key === "Escape") change([]);
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) change(clicks.slice(0, -1));
});

try {
  await ask("load", MODEL);
  $("open").disabled = false;
  const sample = await fetch(SAMPLE).catch(() => null);
  if (sample?.ok) await open(await sample.blob());
  else say("Open a photo");
} catch (error) {
  fail(error);
}
