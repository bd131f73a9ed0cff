/** The steps of the reference, by another runtime. */

import { batch, images, readDigits } from "../page/digits.js";
import { Network } from "../page/network.js";

/**
 * Trains as `reference.py` did, and asks what it asked.
 *
 * @param {import("../page/network.js").Runtime} runtime
 * @param {import("../page/network.js").Read} read a file of the site
 * @param {{batch: number, steps: {loss: number}[], logits: number[][]}} reference
 */
export async function follow(runtime, read, reference) {
  const digits = readDigits(await read("digits.safetensors"));
  const network = await Network.load(runtime, (file) => read(`network/${file}`), { steps: reference.steps.length });
  const steps = [];
  for (const n of reference.steps.keys()) {
    const rows = Array.from({ length: reference.batch }, (_, row) => n * reference.batch + row);
    steps.push(await network.step(batch(runtime, digits.train, rows)));
  }
  const asked = reference.logits.map((_, row) => digits.test.counts.subarray(64 * row, 64 * (row + 1)));
  const image = images(runtime, asked);
  return {
    steps,
    logits: [...(await network.forward({ image }))],
    pixels: Array.from(image.data.slice(0, 1024), Number),
  };
}
