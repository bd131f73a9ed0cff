/** What the tests have in common: a site in a temporary folder, and the numbers of the Python runtime. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A Python that has netlang. */
const PYTHON = process.env.PYTHON ?? "python";

export const HERE = dirname(fileURLToPath(import.meta.url));

/** @returns {{folder: string, reference: any, remove: () => void}} the site, as build.py makes it */
export function buildSite() {
  const folder = mkdtempSync(join(tmpdir(), "netlang-web-"));
  execFileSync(PYTHON, [join(HERE, "..", "build.py"), "--out", folder]);
  execFileSync(PYTHON, [join(HERE, "reference.py"), join(folder, "reference.json")]);
  const reference = JSON.parse(readFileSync(join(folder, "reference.json"), "utf8"));
  return { folder, reference, remove: () => rmSync(folder, { recursive: true }) };
}

/**
 * That what `follow` found equals the Python run, to 1e-4.
 *
 * @param {{steps: Record<string, number>[], logits: number[], pixels: number[]}} found
 * @param {any} reference
 */
export function assertEqualRuns(found, reference) {
  for (const report of Object.keys(reference.steps[0])) {
    assertClose(column(found.steps, report), column(reference.steps, report), report);
  }
  assertClose(found.logits, reference.logits.flat(), "logits");
  assertClose(found.pixels, reference.pixels, "pixels");
}

/** @param {Record<string, number>[]} steps @param {string} report */
function column(steps, report) {
  return steps.map((step) => step[report]);
}

/** @param {number[]} found @param {number[]} expected @param {string} what */
function assertClose(found, expected, what) {
  assert.equal(found.length, expected.length, what);
  const difference = Math.max(...found.map((value, n) => Math.abs(value - expected[n])));
  assert.ok(difference < 1e-4, `${what} differ by ${difference}`);
}
