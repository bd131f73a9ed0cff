/**
 * A drawing as a digit like those of the data.
 *
 * The digits of the data were scanned, brought to a bitmap of 32×32 pixels, and counted in blocks of 4×4 pixels (Alpaydin
 * & Kaynak 1998). All fill the height, leave about a block free at either side, and have about 310 pixels of ink. Lines
 * are drawn here until that is so.
 *
 * @typedef {{x: number, y: number}} Point
 */

import { CELLS, SIDE } from "./digits.js";

const WIDTH = 26;
const INK = 310;
const THICKEST = 6;

/**
 * @param {Point[][]} strokes lines, in any unit; at least one point in all
 * @returns {Uint8Array} 8×8 counts from 0 to 16
 */
export function grid(strokes) {
  let bitmap = drawn(strokes, 1);
  for (let radius = 1.25; radius <= THICKEST && inkOf(bitmap) < INK; radius += 0.25) bitmap = drawn(strokes, radius);
  return counted(bitmap);
}

/** @param {Uint8Array} bitmap */
function inkOf(bitmap) {
  return bitmap.reduce((sum, pixel) => sum + pixel, 0);
}

/** @param {Point[][]} strokes @param {number} radius of the pen, in pixels @returns {Uint8Array} 32×32 pixels */
function drawn(strokes, radius) {
  const lines = fitted(strokes, WIDTH - 2 * radius, SIDE - 2 * radius);
  const bitmap = new Uint8Array(SIDE ** 2);
  for (let n = 0; n < bitmap.length; n++) {
    const pixel = { x: (n % SIDE) + 0.5, y: Math.floor(n / SIDE) + 0.5 };
    bitmap[n] = lines.some((line) => reaches(line, pixel, radius)) ? 1 : 0;
  }
  return bitmap;
}

/** Strokes in the middle of the bitmap, as large as a width and a height allow. */
function fitted(/** @type {Point[][]} */ strokes, /** @type {number} */ width, /** @type {number} */ height) {
  const points = strokes.flat();
  const [left, right] = extent(points.map(({ x }) => x));
  const [top, bottom] = extent(points.map(({ y }) => y));
  const scale = Math.min(width / Math.max(right - left, 1e-6), height / Math.max(bottom - top, 1e-6), SIDE);
  const place = (/** @type {Point} */ { x, y }) => ({
    x: SIDE / 2 + (x - (left + right) / 2) * scale,
    y: SIDE / 2 + (y - (top + bottom) / 2) * scale,
  });
  return strokes.map((stroke) => stroke.map(place));
}

/** @param {number[]} values */
function extent(values) {
  return [Math.min(...values), Math.max(...values)];
}

/** Whether a line comes as near to a point as a radius. */
function reaches(/** @type {Point[]} */ line, /** @type {Point} */ point, /** @type {number} */ radius) {
  return line.some((end, n) => distance(point, line[Math.max(n - 1, 0)], end) <= radius);
}

/** The distance of a point from the line between two others. */
function distance(/** @type {Point} */ point, /** @type {Point} */ from, /** @type {Point} */ to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const along = ((point.x - from.x) * dx + (point.y - from.y) * dy) / (dx * dx + dy * dy || 1);
  const share = Math.min(Math.max(along, 0), 1);
  return Math.hypot(point.x - from.x - share * dx, point.y - from.y - share * dy);
}

/** @param {Uint8Array} bitmap @returns {Uint8Array} the ink in each block of 4×4 pixels */
function counted(bitmap) {
  const counts = new Uint8Array(CELLS ** 2);
  const block = SIDE / CELLS;
  bitmap.forEach((pixel, n) => {
    const [row, column] = [Math.floor(n / SIDE), n % SIDE];
    counts[Math.floor(row / block) * CELLS + Math.floor(column / block)] += pixel;
  });
  return counts;
}
