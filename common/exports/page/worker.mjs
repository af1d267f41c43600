// Colours photos, one at a time, away from the page: {file}, {vivid} -> {blob} or {error}.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";
import { lightness, write } from "./lab.mjs";
import { map, resized, slopes } from "./resizing.mjs";

const MOST = 100; // megapixels
ort.env.wasm.numThreads = 1; // threads would need headers that a plain server does not send
ort.env.wasm.wasmPaths = { wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", import.meta.url).href };

let about, session, photo; // photo: {image, l, outputs} of the last file

async function start() {
  const answer = await fetch("model.json");
  about = await answer.json();
  session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
}

/** The photo's pixels, and what the network says of it. */
async function read(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is no photo that this browser reads. A JPEG or PNG is.`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST * 1e6) {
    throw new Error(`${file.name} has more than ${MOST} megapixels. Make it smaller.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const image = context.getImageData(0, 0, width, height);
  const length = about.size, line = new Float32Array(width);
  const fitted = resized((y) => {
    for (let x = 0, at = 4 * y * width; x < width; x++, at += 4) line[x] = seen(image.data, at);
    return line;
  }, height, width, 1, length, length);
  const l = new Float32Array(length * length);
  for (let y = 0; y < length; y++) l.set(fitted(y), y * length);
  const given = { l: new ort.Tensor("float32", l, [1, length, length, 1]) };
  const wanted = about.dial ? ["logits"] : [about.output];
  return { image, l, outputs: await session.run(given, wanted) };
}

/** The L* that the network takes: transparent areas are white. */
function seen(data, at) {
  const l = lightness(data[at], data[at + 1], data[at + 2]);
  return 100 - (100 - l) * (data[at + 3] / 255);
}

/** ab of the network, and the side of its map. */
function colours(outputs, vivid) {
  if (!about.dial) {
    const { data, dims } = outputs[about.output];
    return [data, dims[1]];
  }
  const { data, dims } = outputs.logits, [temperature, offset] = at(about.dial, vivid);
  const bins = about.centres.length, ab = new Float32Array(2 * dims[1] * dims[1]);
  for (let i = 0; i < ab.length / 2; i++) {
    let most = -Infinity, sum = 0, a = 0, b = 0;
    for (let k = 0; k < bins; k++) {
      most = Math.max(most, data[i * bins + k] / temperature + offset[k]);
    }
    for (let k = 0; k < bins; k++) {
      const share = Math.exp(data[i * bins + k] / temperature + offset[k] - most);
      sum += share;
      a += share * about.centres[k][0];
      b += share * about.centres[k][1];
    }
    ab[2 * i] = a / sum;
    ab[2 * i + 1] = b / sum;
  }
  return [ab, dims[1]];
}

/** [temperature, offset of each bin], as common/color/dial.py. */
function at(dial, vivid) {
  const ends = [[1 - vivid, ...dial.faithful], [vivid, ...dial.vivid]];
  let sharpness = 0, power = 0;
  for (const [share, temperature, weight] of ends) {
    sharpness += share / temperature;
    power += (share * (weight - dial.trained)) / temperature;
  }
  return [1 / sharpness, dial.rarity.map((rarity) => power * Math.log(rarity))];
}

/** The photo with the network's colours, as a PNG of its size. */
async function coloured({ image, l, outputs }, vivid) {
  const { width, height, data } = image;
  const [ab, side] = colours(outputs, vivid);
  if (!ab.every(Number.isFinite)) throw new Error("The model returned no colours. Export it anew.");
  const lines = slopes(ab, map(l, about.size, about.size, 1, side, side), side);
  const enlarged = resized((y) => lines.subarray(4 * y * side, 4 * (y + 1) * side), side, side, 4,
    height, width);
  const result = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    const line = enlarged(y);
    for (let x = 0, at = 4 * y * width; x < width; x++, at += 4) {
      const guide = seen(data, at), own = lightness(data[at], data[at + 1], data[at + 2]);
      const a = line[4 * x] * guide + line[4 * x + 2], b = line[4 * x + 1] * guide + line[4 * x + 3];
      write(own, a, b, result.data, at);
      result.data[at + 3] = data[at + 3];
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(result, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

const ready = start();
ready.then(() => postMessage({ about }), (error) => postMessage({ error: said(error) }));

function said(error) {
  return String(error?.message ?? error).split("\n")[0].slice(0, 200);
}

let last = Promise.resolve();
onmessage = ({ data: { file, vivid, turn } }) => {
  last = last.then(async () => {
    try {
      await ready;
      if (file) photo = await read(file);
      postMessage({ turn, blob: await coloured(photo, vivid) });
    } catch (error) {
      postMessage({ turn, error: said(error) });
    }
  });
};
