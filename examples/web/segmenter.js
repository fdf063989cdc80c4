// A network that `samkit export` wrote, run in a browser by onnxruntime-web.
//
//   const segmenter = await Segmenter.load("model/", (text, part) => console.log(text, part));
//   const embedding = await segmenter.embed(imageData);             // once for a picture
//   const { mask, score } = await segmenter.predict(embedding, [{ x: 220, y: 260, label: 1 }], size);
//
// Sizes, mean, deviation and padding are those of its samkit.json.

const RUNTIME = new URL("./ort/", import.meta.url).href;
const FILES = ["image_encoder.onnx", "mask_decoder.onnx", "network.safetensors"];
const VERSION = 1;
const NOT_A_POINT = -1n; // the label of the padding with which clicks end

export class Segmenter {
  // Of a folder in the layout samkit. `onProgress` gets a text, and from 0 to 1 how far it is.
  static async load(folder, onProgress = () => {}) {
    const ort = await runtime();
    const about = await manifest(folder);
    const total = FILES.reduce((sum, name) => sum + about.files[name].bytes, 0);
    let done = 0;
    const files = {};
    for (const name of FILES) {
      files[name] = await download(folder + name, about.files[name], (bytes) => {
        done += bytes;
        onProgress(`Loading the network: ${megabytes(done)} of ${megabytes(total)} MB`, done / total);
      });
    }
    onProgress("Preparing the network", 1);
    const open = (name) => ort.InferenceSession.create(files[name], { executionProviders: ["wasm"] });
    const encoder = await open("image_encoder.onnx");
    const decoder = await open("mask_decoder.onnx");
    const noMemory = tensorOf(files["network.safetensors"], "no_mem_embed");
    return new Segmenter(ort, about, encoder, decoder, noMemory);
  }

  constructor(ort, about, encoder, decoder, noMemory) {
    Object.assign(this, { ort, about, encoder, decoder, noMemory });
  }

  // What the network sees in a picture: { data: RGBA, width, height }, such as an ImageData.
  async embed(picture) {
    const { input } = this.about;
    const content = contentOf(input, picture);
    const pixels = inputOf(picture, content, input);
    const shape = [1, 3, input.height, input.width];
    const maps = await this.encoder.run({ pixels: new this.ort.Tensor("float32", pixels, shape) });
    if (this.noMemory) addTo(maps.embedding, this.noMemory);
    return { maps, content, width: picture.width, height: picture.height };
  }

  // The mask of clicks { x, y, label } in pixels of the picture; label 1: it is here, 0: it is not.
  // -> { mask: 0 or 1 for each of the pixels of `size` { width, height }, score: predicted IoU }
  async predict(embedding, clicks, size = embedding) {
    const { Tensor } = this.ort;
    const { maps, content, width, height } = embedding;
    const points = new Float32Array(2 * (clicks.length + 1));
    const labels = new BigInt64Array(clicks.length + 1).fill(NOT_A_POINT);
    clicks.forEach(({ x, y, label }, i) => {
      points.set([(x * content.width) / width, (y * content.height) / height], 2 * i);
      labels[i] = BigInt(label);
    });
    const [h, w] = maps.embedding.dims.slice(2).map((cells) => 4 * cells);
    const found = await this.decoder.run({
      ...maps,
      points: new Tensor("float32", points, [1, clicks.length + 1, 2]),
      labels: new Tensor("int64", labels, [1, clicks.length + 1]),
      masks: new Tensor("float32", new Float32Array(h * w), [1, 1, h, w]),
      has_mask: new Tensor("bool", new Uint8Array(1), [1]),
    });
    const which = single(found, this.about.sizes.mask_decoder);
    const logits = found.logits.data.subarray(which * h * w, (which + 1) * h * w);
    const mask = maskOf({ data: logits, width: w, height: h }, this.about.input, content, size);
    return { mask, score: found.iou.data[which] };
  }
}

async function runtime() {
  let ort;
  try {
    ort = await import(`${RUNTIME}ort.wasm.min.mjs`);
  } catch {
    throw new Error(`onnxruntime-web is not in ${RUNTIME}: docs/runtimes.md says how to get it`);
  }
  ort.env.wasm.wasmPaths = RUNTIME;
  return ort;
}

async function get(address) {
  try {
    return await fetch(address);
  } catch {
    throw new Error(`${address} cannot be reached; does its server run?`);
  }
}

async function manifest(folder) {
  const answer = await get(`${folder}samkit.json`);
  if (!answer.ok) {
    throw new Error(`There is no export in ${folder}: run "samkit export pico -o DIR --half" for that folder`);
  }
  const about = await answer.json();
  if (about.layout !== "samkit" || about.version !== VERSION) {
    throw new Error(`Expected an export in version ${VERSION} of the layout samkit, ` +
      `got version ${about.version} of ${about.layout}`);
  }
  return about;
}

// A file as bytes, checked against what samkit.json says of it.
async function download(address, { bytes, sha256 }, onBytes) {
  const answer = await get(address);
  if (!answer.ok) throw new Error(`${address} cannot be read: ${answer.status} ${answer.statusText}`);
  const file = new Uint8Array(bytes);
  let end = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { value, done } = await reader.read();
    if (done) break;
    if (end + value.length <= bytes) file.set(value, end);
    end += value.length;
    onBytes(value.length);
  }
  // Only pages over https and of this machine have crypto.subtle.
  const changed = end !== bytes || (crypto.subtle && (await hexOfHash(file)) !== sha256);
  if (changed) throw new Error(`${address} is not the file that was exported; export it again`);
  return file;
}

async function hexOfHash(file) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", file));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A float32 tensor of a safetensors file; undefined where it has none of this name.
function tensorOf(file, name) {
  const view = new DataView(file.buffer);
  const start = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, start)));
  if (!header[name]) return undefined;
  const [from, to] = header[name].data_offsets;
  return new Float32Array(file.slice(start + from, start + to).buffer);
}

// Add a value for each channel to a map (1, channels, h, w).
function addTo(map, values) {
  const cells = map.data.length / values.length;
  values.forEach((value, channel) => {
    for (let i = channel * cells; i < (channel + 1) * cells; i++) map.data[i] += value;
  });
}

// The part of the input that a picture covers: all of it, or as much as keeps its shape.
function contentOf(input, { width, height }) {
  if (!input.keep_aspect) return { width: input.width, height: input.height };
  const scale = Math.min(input.width / width, input.height / height);
  const length = (side) => Math.max(1, Math.floor(side * scale + 0.5));
  return { width: length(width), height: length(height) };
}

// Pixels (3, H, W), resized with smoothing, normalised, and filled up with zeros.
function inputOf({ data, width, height }, content, { width: W, height: H, mean, std, keep_aspect }) {
  const finish = keep_aspect ? Math.round : (value) => value; // SAM resizes 8-bit pixels, SAM 2 floats
  const across = taps(width, content.width);
  const narrow = new Float32Array(height * content.width * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (const { first, weights } of across) {
      for (let channel = 0; channel < 3; channel++, to++) {
        let from = 4 * (y * width + first) + channel;
        let sum = 0;
        for (let i = 0; i < weights.length; i++, from += 4) sum += weights[i] * data[from];
        narrow[to] = finish(sum);
      }
    }
  }
  const pixels = new Float32Array(3 * H * W);
  const row = 3 * content.width;
  taps(height, content.height).forEach(({ first, weights }, y) => {
    for (let x = 0; x < row; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * narrow[(first + i) * row + x];
      const channel = x % 3;
      pixels[channel * H * W + y * W + (x - channel) / 3] = (finish(sum) / 255 - mean[channel]) / std[channel];
    }
  });
  return pixels;
}

// Which of `from` values each of `to` is made of, and with what weights: linear, wider when it shrinks.
function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), from);
    const weights = Array.from({ length: end - first }, (_, k) =>
      Math.max(1 - Math.abs(first + k + 0.5 - centre) / reach, 0));
    const sum = weights.reduce((one, other) => one + other);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

// Which of the masks of one prompt is meant: the single mask, or in SAM 2, where that is not stable,
// the best of the candidates after it.
function single({ logits, iou }, { dynamic_multimask, stability_delta, stability_threshold }) {
  if (!dynamic_multimask) return 0;
  const values = logits.data.subarray(0, logits.dims[2] * logits.dims[3]);
  const above = (threshold) => values.reduce((count, value) => count + (value > threshold), 0);
  const union = above(-stability_delta);
  if (union === 0 || above(stability_delta) / union >= stability_threshold) return 0;
  return iou.data.indexOf(Math.max(...iou.data.subarray(1)), 1);
}

// Logits of the whole input as a mask of `size`, 0 or 1 for each pixel.
function maskOf(logits, input, content, size) {
  if (input.keep_aspect) { // brought to the input first, of which the padding is left out
    const [width, height] = [content.width / input.width, content.height / input.height];
    logits = resized(logits, { width: logits.width * width, height: logits.height * height }, content);
  }
  return Uint8Array.from(resized(logits, logits, size).data, (value) => value > 0);
}

// A map (height, width), or the part of it at the top and left that `covered` says: bilinear.
function resized({ data, width, height }, covered, size) {
  const columns = places(size.width, covered.width, width);
  const rows = places(size.height, covered.height, height);
  const values = new Float32Array(size.width * size.height);
  let to = 0;
  for (const [above, below, down] of rows) {
    for (const [left, right, along] of columns) {
      const upper = data[above * width + left] * (1 - along) + data[above * width + right] * along;
      const lower = data[below * width + left] * (1 - along) + data[below * width + right] * along;
      values[to++] = upper * (1 - down) + lower * down;
    }
  }
  return { data: values, width: size.width, height: size.height };
}

// For each of `count` pixels over `covered` cells: the two cells that it lies between, and how far.
function places(count, covered, cells) {
  return Array.from({ length: count }, (_, i) => {
    const where = Math.min(Math.max(((i + 0.5) * covered) / count - 0.5, 0), cells - 1);
    const first = Math.floor(where);
    return [first, Math.min(first + 1, cells - 1), where - first];
  });
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
