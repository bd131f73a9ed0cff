/** The page: a button that trains, a curve, and a field to draw in. */

import * as runtime from "./runtime/ort.wasm.bundle.min.mjs";

import { LossChart } from "./chart.js";
import { CELLS, batch, images, readDigits, shuffled } from "./digits.js";
import { Network } from "./network.js";
import { Sketch } from "./sketch.js";
import { grid } from "./strokes.js";

const BATCH = 32;
const EPOCHS = 10;
const CLASSES = 10;

// Without special headers of the server, a page has one thread.
runtime.env.wasm.numThreads = 1;

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {import("./network.js").Read} */
async function read(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file}: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

/** Lets the browser draw and react before the next step. */
const pause = () => new Promise((resume) => setTimeout(resume));

class Page {
  /** @param {ReturnType<typeof readDigits>} digits @param {Network} network */
  constructor(digits, network) {
    this.digits = digits;
    this.network = network;
    this.sketch = new Sketch(/** @type {HTMLCanvasElement} */ (element("sketch")), () => this.recognise());
    this.recognising = false;
    element("train").addEventListener("click", () => this.train().catch(failed));
    element("clear").addEventListener("click", () => this.sketch.clear());
    this.ready("Ready: ten times through the digits.");
  }

  static stepsOf(/** @type {ReturnType<typeof readDigits>} */ digits) {
    return EPOCHS * Math.floor(digits.train.labels.length / BATCH);
  }

  static async open() {
    const digits = readDigits(await read("digits.safetensors"));
    return new Page(digits, await Page.network(digits));
  }

  /** @param {ReturnType<typeof readDigits>} digits */
  static network(digits) {
    const seed = Math.floor(Math.random() * 2 ** 32);
    return Network.load(runtime, (file) => read(`network/${file}`), { steps: Page.stepsOf(digits), seed });
  }

  /** @param {string} status */
  ready(status) {
    element("status").textContent = status;
    element("train").toggleAttribute("disabled", false);
  }

  /** Trains from the beginning, ten epochs long. */
  async train() {
    element("train").toggleAttribute("disabled", true);
    element("status").textContent = "Training…";
    this.network = await Page.network(this.digits);
    const chart = new LossChart(element("chart"), Page.stepsOf(this.digits));
    for (let epoch = 0; epoch < EPOCHS; epoch++) {
      await this.trainEpoch(chart);
      element("accuracy").textContent = `${(100 * (await this.testAccuracy())).toFixed(1)} %`;
      this.recognise();
    }
    this.ready("Trained. Draw a digit below, or train again.");
  }

  /** @param {LossChart} chart */
  async trainEpoch(chart) {
    const { train } = this.digits;
    const order = shuffled(train.labels.length);
    for (let at = 0; at + BATCH <= order.length; at += BATCH) {
      const began = performance.now();
      const { loss } = await this.network.step(batch(runtime, train, order.subarray(at, at + BATCH)));
      chart.push(loss);
      element("step").textContent = String(this.network.stepCount);
      element("loss").textContent = loss.toFixed(3);
      element("speed").textContent = `${(performance.now() - began).toFixed(0)} ms`;
      await pause();
    }
  }

  /** The share of the test digits that the network calls by their names. */
  async testAccuracy() {
    const { labels } = this.digits.test;
    const { image } = batch(runtime, this.digits.test, Uint32Array.from(labels.keys()));
    const logits = await this.network.forward({ image });
    const right = labels.filter((label, row) => label === largest(logits.subarray(CLASSES * row, CLASSES * (row + 1))));
    return right.length / labels.length;
  }

  /** Shows what the drawing is; a drawing that changes meanwhile is looked at once more. */
  async recognise() {
    if (this.recognising) {
      this.again = true;
      return;
    }
    this.recognising = true;
    do {
      this.again = false;
      await this.answer(this.sketch.strokes).catch(failed);
    } while (this.again);
    this.recognising = false;
  }

  /** @param {import("./strokes.js").Point[][]} strokes */
  async answer(strokes) {
    const counts = strokes.length > 0 ? grid(strokes) : new Uint8Array(CELLS ** 2);
    showSeen(counts);
    if (strokes.length === 0) {
      showAnswer("–", []);
      return;
    }
    const logits = await this.network.forward({ image: images(runtime, [counts]) });
    showAnswer(String(largest(logits)), softmax(logits));
  }
}

/** @param {Float32Array} values */
function largest(values) {
  return values.indexOf(Math.max(...values));
}

/** @param {Float32Array} logits */
function softmax(logits) {
  const exponentials = Array.from(logits, (logit) => Math.exp(logit - Math.max(...logits)));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}

/** @param {Uint8Array} counts */
function showSeen(counts) {
  const context = /** @type {HTMLCanvasElement} */ (element("seen")).getContext("2d");
  const pixels = Uint8ClampedArray.from({ length: 4 * counts.length }, (_, n) =>
    n % 4 === 3 ? 255 : counts[Math.floor(n / 4)] * 16,
  );
  context?.putImageData(new ImageData(pixels, CELLS), 0, 0);
}

/** @param {string} answer @param {number[]} probabilities of the ten digits; none where nothing is drawn */
function showAnswer(answer, probabilities) {
  element("answer").textContent = answer;
  const bars = probabilities.map((probability) => {
    const item = document.createElement("li");
    const meter = Object.assign(document.createElement("meter"), { value: probability });
    item.append(meter, ` ${(100 * probability).toFixed(0)} %`);
    return item;
  });
  element("probabilities").replaceChildren(...bars);
}

/** @param {unknown} error */
function failed(error) {
  element("status").textContent = `This did not work: ${error instanceof Error ? error.message : error}`;
}

Page.open().catch(failed);
