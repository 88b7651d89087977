// labels.txt and vocab.txt beside a .tflite file, held against what the file says of its model. A file
// that says nothing, as older exports, is taken as it comes.

import { WordPiece } from "./wordpiece.js";

// What makes a model's token ids, as the file names it: how it normalizes texts, by which rules.
const TOKENIZERS = {
  "keras_combiner>WordPieceTokenizer": { normalization: "nfkc", rules: ["lowercase"] },
  "keras_combiner>BertTokenizer": { normalization: "bert", rules: ["lowercase", "strip_accents"] },
};
const INSTEAD = "Run the model on a server (keras-combiner serve).";

/**
 * Refuses a model whose token ids this page cannot make.
 *
 * @param {Object} metadata what the file says of its model.
 */
export function checkTokenizer({ tokenizer }) {
  if (!tokenizer) return;
  const name = tokenizer.registered_name;
  if (!Object.hasOwn(TOKENIZERS, name)) {
    throw new Error(
      "This page makes the token ids of WordPieceTokenizer and BertTokenizer, and the model's are " +
        `those of ${name.split(">").at(-1)}. ${INSTEAD}`,
    );
  }
  const { rules } = TOKENIZERS[name];
  const unknown = Object.keys(tokenizer.config).filter((rule) => !rules.includes(rule));
  if (unknown.length) {
    throw new Error(
      "The model's tokenizer has rules that this page does not know: " +
        `${unknown.sort().join(", ")}. ${INSTEAD}`,
    );
  }
}

/**
 * Makes the tokenizer that makes a model's token ids.
 *
 * @param {string} vocabulary what vocab.txt holds.
 * @param {Object} metadata what the file says of its model.
 * @returns {WordPiece}
 */
export function readWordPiece(vocabulary, metadata) {
  checkTokenizer(metadata);
  const { tokenizer } = metadata;
  if (!tokenizer) return new WordPiece(vocabulary);
  const { lowercase, strip_accents: stripAccents } = tokenizer.config;
  const { normalization } = TOKENIZERS[tokenizer.registered_name];
  const wordpiece = new WordPiece(vocabulary, lowercase, { normalization, stripAccents });
  if (wordpiece.vocabularyCrc32 !== tokenizer.vocabulary_crc32) {
    throw new Error(
      `vocab.txt is not the model's vocabulary: it holds ${wordpiece.vocabularySize} tokens, and ` +
        `the model's has ${tokenizer.vocabulary_size}, or others. Take the vocab.txt that was ` +
        "written with the model.",
    );
  }
  return wordpiece;
}

/**
 * Compares the names of a model's outputs with what the file says.
 *
 * @param {string[]} labels what labels.txt holds, as many as the model has scores.
 * @param {Object} metadata what the file says of its model.
 * @returns {string[]} the labels.
 */
export function checkedLabels(labels, metadata) {
  const expected = metadata.labels?.length ? metadata.labels : labels;
  const place = labels.findIndex((label, i) => label.trim() !== expected[i]?.trim());
  if (place < 0) return expected;
  throw new Error(
    `labels.txt does not hold the model's labels in their order: label ${place + 1} is ` +
      `"${labels[place]}", and the model's is "${expected[place]}". Take the labels.txt that was ` +
      "written with the model.",
  );
}
