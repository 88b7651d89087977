// What a .tflite file says of its model, and the windows of long documents that it may ask for.

const METADATA_NAME = "keras_combiner";
// As in training: a probability has a logarithm.
const LEAST_PROBABILITY = 1e-7;
// Places of fields in the tables of LiteRT's flatbuffer schema.
const MODEL = { buffers: 4, metadata: 6 };
const METADATA = { name: 0, buffer: 1 };
const BUFFER = { data: 0 };

/**
 * Reads what a .tflite file says of its model.
 *
 * @param {ArrayBuffer} content the file.
 * @returns {{task?: {name: string}, labels?: string[], long_texts?: "truncate"|"windows",
 *   overlap?: number, tokenizer?: Object}} nothing of a file that says nothing.
 */
export function readMetadata(content) {
  const view = new DataView(content);
  // Where a vector, a string or a table is that a place points to.
  const follow = (place) => place + view.getUint32(place, true);
  // Where a field of a table is; null if it was left out.
  const field = (table, index) => {
    const fields = table - view.getInt32(table, true);
    const entry = 4 + 2 * index;
    const offset = entry < view.getUint16(fields, true) ? view.getUint16(fields + entry, true) : 0;
    return offset ? table + offset : null;
  };
  const tables = (place) => {
    if (place === null) return [];
    const vector = follow(place);
    const length = view.getUint32(vector, true);
    return Array.from({ length }, (_, i) => follow(vector + 4 + 4 * i));
  };
  const text = (place) => {
    const vector = follow(place);
    const bytes = new Uint8Array(content, vector + 4, view.getUint32(vector, true));
    return new TextDecoder().decode(bytes);
  };

  const model = follow(0);
  for (const entry of tables(field(model, MODEL.metadata))) {
    const [name, buffer] = [field(entry, METADATA.name), field(entry, METADATA.buffer)];
    if (name === null || buffer === null || text(name) !== METADATA_NAME) continue;
    const table = tables(field(model, MODEL.buffers))[view.getUint32(buffer, true)];
    return JSON.parse(text(field(table, BUFFER.data)));
  }
  return {};
}

/**
 * Covers a document with as few overlapping windows as it takes, evenly spaced.
 *
 * @param {number} numTokens without start and end token.
 * @param {number} room the most tokens of a window.
 * @param {number} overlap the share of `room` that neighbors have in common at least.
 * @returns {{first: number, end: number}[]} `end` comes after the last token of a window; one
 *   window for a document that fits.
 */
export function splitIntoWindows(numTokens, room, overlap) {
  if (numTokens <= room) return [{ first: 0, end: numTokens }];
  const shared = Math.floor(room * overlap);
  const count = Math.ceil((numTokens - shared) / (room - shared));
  return Array.from({ length: count }, (_, i) => {
    const first = Math.floor((i * (numTokens - room)) / (count - 1));
    return { first, end: first + room };
  });
}

/**
 * Makes one answer of those of a document's windows: that of the mean logits.
 *
 * @param {Float32Array[]} probabilities one array a window, a number for each label.
 * @param {string} task "single_label" or "multi_label".
 * @returns {Float32Array} a single window's answer is left as it is.
 */
export function pool(probabilities, task) {
  if (probabilities.length === 1) return probabilities[0];
  const isMultiLabel = task === "multi_label";
  const logits = probabilities.map((row) => {
    const logs = Array.from(row, log);
    if (isMultiLabel) return logs.map((each, i) => each - log(1 - row[i]));
    const mean = logs.reduce((sum, each) => sum + each, 0) / logs.length;
    return logs.map((each) => each - mean);
  });
  const means = logits[0].map(
    (_, i) => logits.reduce((sum, row) => sum + row[i], 0) / logits.length,
  );
  if (isMultiLabel) return Float32Array.from(means, (each) => 1 / (1 + Math.exp(-each)));
  const largest = Math.max(...means);
  const shares = means.map((each) => Math.exp(each - largest));
  const total = shares.reduce((sum, each) => sum + each, 0);
  return Float32Array.from(shares, (each) => each / total);
}

function log(probability) {
  return Math.log(Math.max(probability, LEAST_PROBABILITY));
}
