/** The embedded digits, 8×8 counts from 0 to 16, as the images of 32×32 pixels that the network reads. */

import { readSafetensors } from "./weights.js";

export const CELLS = 8;
export const SIDE = 32;
const FULL = 16;

/**
 * @typedef {typeof import("onnxruntime-web")} Runtime
 * @typedef {{counts: Uint8Array, labels: Uint8Array}} Split 64 counts and one label a row
 */

/**
 * @param {ArrayBuffer} file `digits.safetensors`, which build.py writes
 * @returns {{train: Split, test: Split}}
 */
export function readDigits(file) {
  const tensors = readSafetensors(file);
  const split = (/** @type {string} */ name) => ({
    counts: tensors[`${name}.image`].bytes,
    labels: tensors[`${name}.label`].bytes,
  });
  return { train: split("train"), test: split("test") };
}

/**
 * Rows of a split as the inputs of a training step.
 *
 * @param {Runtime} runtime
 * @param {Split} split
 * @param {ArrayLike<number>} rows
 */
export function batch(runtime, split, rows) {
  const labels = BigInt64Array.from(rows, (row) => BigInt(split.labels[row]));
  const counts = Array.from(rows, (row) => split.counts.subarray(row * CELLS ** 2, (row + 1) * CELLS ** 2));
  return { image: images(runtime, counts), label: new runtime.Tensor("int64", labels, [labels.length]) };
}

/**
 * Grids of counts as one tensor of images.
 *
 * @param {Runtime} runtime
 * @param {ArrayLike<number>[]} grids
 * @returns {import("onnxruntime-web").Tensor} f32[n, 1, 32, 32], from 0 to 1
 */
export function images(runtime, grids) {
  const pixels = new Float32Array(grids.length * SIDE ** 2);
  grids.forEach((grid, n) => pixels.set(enlarged(grid), n * SIDE ** 2));
  return new runtime.Tensor("float32", pixels, [grids.length, 1, SIDE, SIDE]);
}

/**
 * A grid at 32×32 pixels, interpolated bilinearly between pixel centres: what `fit image: resize` does in netlang.
 *
 * @param {ArrayLike<number>} grid
 */
function enlarged(grid) {
  const pixels = new Float32Array(SIDE ** 2);
  for (let row = 0; row < SIDE; row++) {
    const [above, below, down] = NEIGHBOURS[row];
    for (let column = 0; column < SIDE; column++) {
      const [left, right, across] = NEIGHBOURS[column];
      const mixed = (/** @type {number} */ line) =>
        grid[line * CELLS + left] * (1 - across) + grid[line * CELLS + right] * across;
      pixels[row * SIDE + column] = (mixed(above) * (1 - down) + mixed(below) * down) / FULL;
    }
  }
  return pixels;
}

/** For each of 32 positions the two cells around it, and the share of the second. */
const NEIGHBOURS = Array.from({ length: SIDE }, (_, position) => {
  const place = Math.min(Math.max(((position + 0.5) * CELLS) / SIDE - 0.5, 0), CELLS - 1);
  const before = Math.floor(place);
  return [before, Math.min(before + 1, CELLS - 1), place - before];
});

/**
 * The numbers from 0 to `count` - 1 in a random order. Fisher & Yates 1938.
 *
 * @param {number} count
 * @param {() => number} random from 0 to 1
 */
export function shuffled(count, random = Math.random) {
  const order = Uint32Array.from({ length: count }, (_, n) => n);
  for (let last = count - 1; last > 0; last--) {
    const chosen = Math.floor(random() * (last + 1));
    [order[last], order[chosen]] = [order[chosen], order[last]];
  }
  return order;
}
