import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { checkedLabels, checkTokenizer, readWordPiece } from "./sidecar_files.js";
import { pool, readMetadata, splitIntoWindows } from "./windows.js";
import { givenLabels } from "./thresholds.js";

/** A .tflite model, its vocabulary and its labels. */
export class Classifier {
  #runners;
  #metadata;

  constructor(runners, wordpiece, labels, metadata) {
    this.#runners = runners;
    this.#metadata = metadata;
    this.wordpiece = wordpiece;
    this.labels = labels;
  }

  /**
   * Loads LiteRT.js and the model.
   *
   * @param {string} runtime folder of LiteRT.js's wasm files, with a slash at its end.
   * @param {string} folder that of model.tflite, vocab.txt and labels.txt, with a slash too.
   * @returns {Promise<Classifier>}
   */
  static async load(runtime, folder) {
    const vocabulary = fetched(`${folder}vocab.txt`).then((response) => response.text());
    // A model without word pieces has none, which is not what is to be said of it.
    vocabulary.catch(() => {});
    const [content, labels] = await Promise.all([
      fetched(`${folder}model.tflite`).then((response) => response.arrayBuffer()),
      fetched(`${folder}labels.txt`).then((response) => response.text()),
      startRuntime(runtime),
    ]);
    const names = labels.split(/\r?\n/).filter((label) => label.trim());
    const runners = await compile(content, names.length);
    const metadata = readMetadata(content);
    checkTokenizer(metadata);
    const wordpiece = readWordPiece(await vocabulary, metadata);
    return new Classifier(runners, wordpiece, checkedLabels(names, metadata), metadata);
  }

  /** How many ids the model takes at most, start and end tokens included. */
  get sequenceLength() {
    return this.#runners.at(-1).length;
  }

  /** Whether longer documents are read as a whole, in windows. */
  get readsWindows() {
    // Files of earlier versions name it "long".
    return (this.#metadata.long_texts ?? this.#metadata.long) === "windows";
  }

  /**
   * Classifies a document. It goes into the shortest of the model's inputs that holds it. What does
   * not fit into the longest is read in windows, if the file says so, or cut.
   *
   * @param {string} text
   * @returns {Promise<Answer?>} null for a text without a single token.
   *
   * @typedef {Object} Answer
   * @property {string} text
   * @property {{ids: number[], starts: number[], ends: number[]}} tokens of the whole text.
   * @property {number} numRead how many of them the model read.
   * @property {Window[]} windows what it was given.
   * @property {Float32Array} probabilities one for each label.
   * @property {number[]} given indices of the labels that it has.
   * @property {number} best index of the most probable label.
   * @property {{tokenizer: number, model: number}} milliseconds
   *
   * @typedef {Object} Window
   * @property {number} first which token of the text is its first.
   * @property {number} end comes after its last.
   * @property {Int32Array} framed
   * @property {Float32Array} probabilities
   */
  async classify(text) {
    const started = performance.now();
    const tokens = this.wordpiece.tokenize(text);
    const count = tokens.ids.length;
    if (!count) return null;
    const fitting = this.#runners.find(({ length }) => count + 2 <= length);
    const length = fitting?.length ?? this.sequenceLength;
    const windows = this.#windows(count).map(({ first, end }) => {
      const framed = this.wordpiece.frame(tokens.ids.slice(first, end), length);
      return { first, end, framed };
    });
    const tokenized = performance.now();
    for (const window of windows) window.probabilities = await this.run(window.framed);
    const probabilities = this.pool(windows.map((window) => window.probabilities));
    return {
      text,
      tokens,
      numRead: windows.at(-1).end,
      windows,
      probabilities,
      given: givenLabels(probabilities, this.#metadata.task),
      best: probabilities.indexOf(Math.max(...probabilities)),
      milliseconds: { tokenizer: tokenized - started, model: performance.now() - tokenized },
    };
  }

  // Of a document that is cut, its beginning.
  #windows(count) {
    const room = this.sequenceLength - 2;
    if (!this.readsWindows) return [{ first: 0, end: Math.min(count, room) }];
    return splitIntoWindows(count, room, this.#metadata.overlap);
  }

  /**
   * Makes one answer of those of a document's windows.
   *
   * @param {Float32Array[]} probabilities
   * @returns {Float32Array}
   */
  pool(probabilities) {
    return pool(probabilities, this.#metadata.task?.name);
  }

  /**
   * Runs the model.
   *
   * @param {Int32Array} framed ids in one of the lengths that the model takes.
   * @returns {Promise<Float32Array>} a probability for each label.
   */
  async run(framed) {
    const { runner } = this.#runners.find((each) => each.length === framed.length);
    const input = new Tensor(framed, [1, framed.length]);
    let outputs = [];
    try {
      outputs = await runner.run([input]);
      return outputs[0].toTypedArray().slice();
    } finally {
      // LiteRT.js leaves the memory of WebAssembly to its callers.
      for (const tensor of [input, ...outputs]) tensor.delete();
    }
  }
}

async function fetched(path) {
  let response;
  try {
    response = await fetch(path);
  } catch (error) {
    throw new Error(`${path} could not be fetched: ${error.message}.`);
  }
  if (!response.ok) {
    throw new Error(`${path} could not be fetched: ${response.status} ${response.statusText}.`);
  }
  return response;
}

async function startRuntime(runtime) {
  try {
    await loadLiteRt(runtime, { threads: false });
  } catch (error) {
    throw new Error(`LiteRT.js could not be started from ${runtime}: ${inWords(error)}.`);
  }
}

// A file may hold several signatures: the same weights at several lengths.
async function compile(content, numLabels) {
  let model;
  try {
    model = await loadAndCompile(new Uint8Array(content), { accelerator: "wasm" });
  } catch (error) {
    throw new Error(`model.tflite could not be loaded as a LiteRT model: ${inWords(error)}.`);
  }
  const runners = [model, ...Object.values(model.signatures)]
    .filter(takesTokenIds)
    .map((runner) => ({ runner, length: runner.getInputDetails()[0].shape[1] }))
    .sort((a, b) => a.length - b.length);
  if (!runners.length) {
    throw new Error("model.tflite must take int32 token ids of shape [1, length], and does not.");
  }
  for (const { runner } of runners) {
    const shape = Array.from(runner.getOutputDetails()[0].shape);
    if (shape.length !== 2 || shape[1] !== numLabels) {
      throw new Error(
        `labels.txt holds ${numLabels} labels, but model.tflite gives scores of shape ` +
          `[${shape.join(", ")}]. Are they of the same model?`,
      );
    }
  }
  return runners;
}

function takesTokenIds(runner) {
  const [input, ...others] = runner.getInputDetails();
  const shape = input?.shape ?? [];
  return !others.length && input?.dtype === "int32" && shape.length === 2 && shape[1] >= 3;
}

// What is thrown from WebAssembly, or by a script that fails to load, is not always an Error.
function inWords(error) {
  const words = String(error?.message ?? error?.type ?? error).trim();
  return words.replace(/\.$/, "") || "unknown error";
}
