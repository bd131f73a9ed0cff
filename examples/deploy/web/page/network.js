/**
 * A network that trains and answers in onnxruntime-web, from the files that `netlang compile` writes.
 *
 * Nothing here is particular to one network: the manifest says what goes into a step and comes out of it.
 *
 * @typedef {typeof import("onnxruntime-web")} Runtime
 * @typedef {import("onnxruntime-web").Tensor} Tensor
 * @typedef {import("onnxruntime-web").InferenceSession} Session
 * @typedef {(file: string) => Promise<ArrayBuffer>} Read how a file of the compiled network is read
 */

import { readSafetensors, writeInitializers } from "./weights.js";

const CPU = { executionProviders: ["wasm"] };

export class Network {
  /**
   * @param {Runtime} runtime onnxruntime-web
   * @param {{train: Session, forward: Uint8Array, manifest: any, weights: ArrayBuffer}} compiled
   * @param {{steps: number, seed?: number}} plan steps in all, which schedules look at, and the seed of the graph
   */
  constructor(runtime, compiled, { steps, seed = 0 }) {
    const { files } = compiled.manifest;
    this.runtime = runtime;
    this.train = compiled.train;
    this.forwardModel = compiled.forward;
    this.forwardOutput = files["forward.onnx"].outputs[0].name;
    /** @type {{name: string, role: string}[]} */
    const outputs = files["train.onnx"].outputs;
    this.reports = outputs.filter(({ role }) => role === "loss" || role === "report");
    this.plan = { steps, seed };
    this.stepCount = 0;
    /** @type {Record<string, Tensor>} parameters, states and optimizer states by name */
    this.variables = initialVariables(runtime, files["train.onnx"].inputs, readSafetensors(compiled.weights));
    /** Names of the variables that inference needs. */
    this.weightNames = Object.keys(readSafetensors(compiled.weights));
  }

  /**
   * @param {Runtime} runtime
   * @param {Read} read
   * @param {{steps: number, seed?: number}} plan
   */
  static async load(runtime, read, plan) {
    const [train, forward, weights, manifest] = await Promise.all(
      ["train.onnx", "forward.onnx", "weights.safetensors", "manifest.json"].map(read),
    );
    const compiled = {
      train: await runtime.InferenceSession.create(new Uint8Array(train), CPU),
      forward: new Uint8Array(forward),
      manifest: JSON.parse(new TextDecoder().decode(manifest)),
      weights,
    };
    return new Network(runtime, compiled, plan);
  }

  /**
   * One step of training.
   *
   * @param {Record<string, Tensor>} batch
   * @returns {Promise<Record<string, number>>} the loss and the reports over the batch
   */
  async step(batch) {
    const counters = { step: this.stepCount, ...this.plan };
    const asked = Object.entries(counters).filter(([name]) => this.train.inputNames.includes(name));
    const scalars = Object.fromEntries(asked.map(([name, value]) => [name, this.integer(value)]));
    const results = await this.train.run({ ...this.variables, ...scalars, ...batch });
    for (const name of Object.keys(this.variables)) {
      this.variables[name] = results[`next.${name}`] ?? this.variables[name];
    }
    this.stepCount += 1;
    return Object.fromEntries(this.reports.map(({ name }) => [name, Number(results[name].data[0])]));
  }

  /**
   * What the network, as trained so far, makes of its inputs.
   *
   * @param {Record<string, Tensor>} inputs
   * @returns {Promise<Float32Array>} the first result, row after row
   */
  async forward(inputs) {
    const session = await this.inferenceSession();
    try {
      const results = await session.run(inputs);
      return /** @type {Float32Array} */ (results[this.forwardOutput].data);
    } finally {
      await session.release();
    }
  }

  /** @param {number} value @returns {Tensor} an i64 without dimensions */
  integer(value) {
    return new this.runtime.Tensor("int64", BigInt64Array.of(BigInt(value)), []);
  }

  /** `forward.onnx` with the present weights where the initial ones are. */
  inferenceSession() {
    const model = this.forwardModel.slice();
    const arrays = this.weightNames.map((name) => [name, this.variables[name].data]);
    writeInitializers(model, Object.fromEntries(arrays));
    return this.runtime.InferenceSession.create(model, CPU);
  }
}

/**
 * What a training begins with: weights from the file, and the states of optimizers and means, which are zeros or ones.
 *
 * @param {Runtime} runtime
 * @param {{name: string, role: string, shape: number[], initial: string}[]} inputs of `train.onnx`
 * @param {Record<string, import("./weights.js").Stored>} weights
 */
function initialVariables(runtime, inputs, weights) {
  /** @type {Record<string, Tensor>} */
  const variables = {};
  for (const { name, role, shape, initial } of inputs) {
    if (!["param", "state", "optimizer", "average"].includes(role)) continue;
    const data = name in weights ? floats(weights[name].bytes) : filled(initial, shape);
    variables[name] = new runtime.Tensor("float32", data, shape);
  }
  return variables;
}

/** @param {Uint8Array} bytes @returns {Float32Array} a copy: the bytes in the file may not be aligned */
function floats(bytes) {
  return new Float32Array(bytes.slice().buffer);
}

/** @param {string} initial `zeros()` or `ones()` @param {number[]} shape */
function filled(initial, shape) {
  const value = { "zeros()": 0, "ones()": 1 }[initial];
  if (value === undefined) throw new Error(`the optimizer begins with ${initial}, which this page does not know`);
  return new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(value);
}
