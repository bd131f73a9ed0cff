/** The training step under Node: the same WebAssembly as in the browser. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as runtime from "onnxruntime-web";

import { batch, images, readDigits, shuffled } from "../page/digits.js";
import { Network } from "../page/network.js";
import { grid } from "../page/strokes.js";
import { writeInitializers } from "../page/weights.js";
import { follow } from "./follow.js";
import { assertEqualRuns, buildSite } from "./site.js";

runtime.env.wasm.numThreads = 1;

/** @type {ReturnType<typeof buildSite>} */
let site;
before(() => (site = buildSite()));
after(() => site?.remove());

/** @param {string} file */
async function read(file) {
  const bytes = await readFile(join(site.folder, file));
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
}

/** Random numbers with a seed: a linear congruential generator. Park & Miller 1988. */
function seeded(state = 1) {
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

test("steps and logits equal those of the Python runtime", async () => {
  assertEqualRuns(await follow(runtime, read, site.reference), site.reference);
});

test("a trained network reads what is drawn", async () => {
  const digits = readDigits(await read("digits.safetensors"));
  const network = await Network.load(runtime, (file) => read(`network/${file}`), { steps: 120 });
  const random = seeded();
  for (let epoch = 0; epoch < 3; epoch++) {
    const order = shuffled(digits.train.labels.length, random);
    for (let n = 0; n < 40; n++) await network.step(batch(runtime, digits.train, order.subarray(32 * n, 32 * (n + 1))));
  }
  for (const [digit, strokes] of Object.entries(DRAWN)) {
    const logits = await network.forward({ image: images(runtime, [grid(strokes)]) });
    assert.equal(logits.indexOf(Math.max(...logits)), Number(digit), `a drawn ${digit}`);
  }
});

test("a drawing has as much ink as the digits of the data, wherever it is and however large", () => {
  for (const strokes of Object.values(DRAWN)) {
    const counts = grid(strokes);
    const ink = counts.reduce((sum, count) => sum + count, 0);
    assert.ok(ink >= 300 && ink <= 400, `${ink} pixels of ink`);
    const elsewhere = strokes.map((stroke) => stroke.map(({ x, y }) => ({ x: 3 * x + 50, y: 3 * y + 7 })));
    assert.deepEqual(grid(elsewhere), counts);
  }
});

test("weights that the model does not have, or of another size, are refused", async () => {
  const model = new Uint8Array(await read("network/forward.onnx"));
  assert.throws(() => writeInitializers(model, { nobody: new Float32Array(1) }), /no initializer nobody/);
  assert.throws(() => writeInitializers(model, { "linear.bias": new Float32Array(3) }), /336 bytes .* 12 here/);
  assert.throws(() => writeInitializers(model.subarray(0, 1000), {}), /ends too early/);
});

/** Digits as lines, in a square of 100. */
const DRAWN = {
  0: [circle(50, 50, 28, 48)],
  1: [line([40, 20], [55, 2], [55, 98])],
  4: [line([60, 2], [15, 65], [85, 65]), line([60, 35], [60, 98])],
  7: [line([15, 5], [85, 5], [45, 98]), line([30, 50], [80, 50])],
};

/** @param {number[][]} points */
function line(...points) {
  return points.map(([x, y]) => ({ x, y }));
}

/** @param {number} x @param {number} y @param {number} width @param {number} height */
function circle(x, y, width, height) {
  return Array.from({ length: 33 }, (_, n) => ({
    x: x + width * Math.cos((n * Math.PI) / 16),
    y: y + height * Math.sin((n * Math.PI) / 16),
  }));
}
