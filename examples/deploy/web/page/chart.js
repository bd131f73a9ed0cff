/** The loss curve: every step pale, and their running mean. */

const SVG = "http://www.w3.org/2000/svg";
const BOX = { left: 36, right: 630, top: 10, bottom: 254 };
const MEMORY = 0.9;

export class LossChart {
  /**
   * @param {Element} svg with a view box of 640 by 280
   * @param {number} steps how many there will be
   * @param {number} highest loss that is shown
   */
  constructor(svg, steps, highest = 3) {
    this.svg = svg;
    this.steps = steps;
    this.highest = highest;
    this.svg.replaceChildren();
    for (let loss = 0; loss <= highest; loss++) this.gridLine(loss);
    this.text("step", BOX.right, BOX.bottom + 20, "end");
    this.loss = this.add("polyline", { class: "loss" });
    this.smooth = this.add("polyline", { class: "smooth" });
    /** @type {number[]} */
    this.losses = [];
    this.sum = 0;
    this.weight = 0;
  }

  /** @param {number} loss of the next step */
  push(loss) {
    const step = this.losses.push(loss);
    this.sum = MEMORY * this.sum + loss;
    this.weight = MEMORY * this.weight + 1;
    extend(this.loss, this.point(step, loss));
    extend(this.smooth, this.point(step, this.sum / this.weight));
  }

  /** @param {number} step @param {number} loss */
  point(step, loss) {
    const x = BOX.left + ((BOX.right - BOX.left) * step) / this.steps;
    const y = BOX.bottom - ((BOX.bottom - BOX.top) * Math.min(loss, this.highest)) / this.highest;
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  }

  /** @param {number} loss */
  gridLine(loss) {
    const y = BOX.bottom - ((BOX.bottom - BOX.top) * loss) / this.highest;
    this.add("line", { class: "grid", x1: BOX.left, x2: BOX.right, y1: y, y2: y });
    this.text(String(loss), BOX.left - 8, y + 4, "end");
  }

  /** @param {string} text @param {number} x @param {number} y @param {string} anchor */
  text(text, x, y, anchor) {
    this.add("text", { x, y, "text-anchor": anchor }).textContent = text;
  }

  /** @param {string} name @param {Record<string, string | number>} attributes */
  add(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    this.svg.append(element);
    return element;
  }
}

/** @param {Element} line @param {string} point */
function extend(line, point) {
  line.setAttribute("points", `${line.getAttribute("points") ?? ""} ${point}`);
}
