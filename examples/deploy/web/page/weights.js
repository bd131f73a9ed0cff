/**
 * Weights in the two files that carry them: safetensors, and the initializers of an ONNX model.
 *
 * @typedef {{dtype: string, shape: number[], bytes: Uint8Array}} Stored
 */

/**
 * Reads a safetensors file: the length of a header, the header as JSON, then the tensors one after another.
 *
 * @param {ArrayBuffer} file
 * @returns {Record<string, Stored>} every tensor by its name, in little-endian bytes
 */
export function readSafetensors(file) {
  const headerLength = Number(new DataView(file).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, headerLength)));
  delete header.__metadata__;
  const entries = Object.entries(header).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [begin, end],
      },
    ]) => {
      const bytes = new Uint8Array(file, 8 + headerLength + begin, end - begin);
      return [name, { dtype, shape, bytes }];
    },
  );
  return Object.fromEntries(entries);
}

// Fields of the protocol buffers in an ONNX file (onnx.proto): ModelProto.graph, GraphProto.initializer, and of a
// TensorProto its name and its raw data.
const GRAPH = 7;
const INITIALIZER = 5;
const NAME = 8;
const RAW_DATA = 9;

const TRUNCATED = "the ONNX model ends too early";

/**
 * Writes arrays over the initializers of the same names in an ONNX model; the others keep their values.
 *
 * The length of a tensor does not change, so the model's structure stays as it is.
 *
 * @param {Uint8Array} model the model's bytes, which are changed
 * @param {Record<string, Float32Array>} arrays
 */
export function writeInitializers(model, arrays) {
  const missing = new Set(Object.keys(arrays));
  for (const graph of fields(model, GRAPH)) {
    for (const tensor of fields(graph, INITIALIZER)) {
      const name = new TextDecoder().decode(first(fields(tensor, NAME)));
      if (missing.delete(name)) overwrite(name, first(fields(tensor, RAW_DATA)), arrays[name]);
    }
  }
  if (missing.size > 0) throw new Error(`the model has no initializer ${[...missing].join(", ")}`);
}

/** @param {string} name @param {Uint8Array} bytes @param {Float32Array} array */
function overwrite(name, bytes, array) {
  if (bytes.length !== array.byteLength) {
    throw new Error(`${name} has ${bytes.length} bytes in the model, and ${array.byteLength} here`);
  }
  bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
}

/** @param {Iterable<Uint8Array>} found @returns {Uint8Array} the first one, or nothing */
function first(found) {
  for (const bytes of found) return bytes;
  return new Uint8Array();
}

/**
 * The fields of one number in a message whose wire type is "length-delimited": strings, bytes and messages.
 *
 * @param {Uint8Array} message
 * @param {number} wanted
 * @returns {Generator<Uint8Array>} views into the message
 */
function* fields(message, wanted) {
  const reader = { message, at: 0 };
  while (reader.at < message.length) {
    const key = variableInteger(reader);
    const length = fieldLength(reader, key % 8);
    if (reader.at + length > message.length) throw new Error(TRUNCATED);
    if (key % 8 === 2 && Math.floor(key / 8) === wanted) yield message.subarray(reader.at, reader.at + length);
    reader.at += length;
  }
}

/**
 * The number of bytes that follow in a field of a wire type.
 *
 * @param {{message: Uint8Array, at: number}} reader
 * @param {number} wireType
 */
function fieldLength(reader, wireType) {
  if (wireType === 2) return variableInteger(reader);
  if (wireType === 1) return 8;
  if (wireType === 5) return 4;
  if (wireType === 0) {
    variableInteger(reader);
    return 0;
  }
  throw new Error("this is no ONNX model");
}

/** @param {{message: Uint8Array, at: number}} reader @returns {number} seven bits a byte, the lowest first */
function variableInteger(reader) {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    if (reader.at >= reader.message.length) throw new Error(TRUNCATED);
    const byte = reader.message[reader.at++];
    value += (byte % 128) * scale;
    if (byte < 128) return value;
  }
}
