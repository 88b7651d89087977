// Word pieces in plain JavaScript: the ids are those of keras_combiner.text.WordPieceTokenizer,
// or of its BertTokenizer.
//
// The browser's Unicode may be newer or older than tensorflow-text's. Only characters that were added
// or reclassified in between can differ; every other text gives the same ids.

const UNKNOWN_TOKEN = "[UNK]";
const SPECIAL_TOKENS = ["[PAD]", UNKNOWN_TOKEN, "[CLS]", "[SEP]"];
const MAX_BYTES_PER_WORD = 100;
// Different words are few beside words, so each is cut up once. The bound is for pages that stay
// open.
const MAX_CACHED_WORDS = 200_000;

const SEPARATOR = /[\p{Cc}\p{Cf}\p{Z}]/u;
// ASCII symbols such as $ and + count as punctuation in BERT, and each ideograph is a word.
const WORD_OF_ITS_OWN = new RegExp(
  "[!-/:-@[-`{-~\\p{P}" +
    "\\u3400-\\u4DBF\\u4E00-\\u9FFF\\uF900-\\uFAFF\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2B73F}" +
    "\\u{2B740}-\\u{2B81F}\\u{2B820}-\\u{2CEAF}\\u{2F800}-\\u{2FA1F}]",
  "u",
);

/**
 * Turns a document into the ids that a .tflite model takes.
 *
 * `lowercase` says whether case is folded and accents are stripped. Of a model that does not tell,
 * the vocabulary hints at it: one with a token that folding would change was learned without.
 */
export class WordPiece {
  #ids;
  #longest;
  #normalizeCharacter;
  #checksum;
  #normalized = new Map();
  #piecesOfWord = new Map();
  #encoder = new TextEncoder();
  #unknown;
  #start;
  #end;

  /**
   * @param {string} vocabulary what vocab.txt holds: one token a line, `[PAD]` the first.
   * @param {boolean} [lowercase] left out, what the vocabulary hints at.
   * @param {Object} [rules]
   * @param {"nfkc"|"bert"} [rules.normalization] that of WordPieceTokenizer, or BertTokenizer's.
   * @param {boolean?} [rules.stripAccents] whether "bert" strips accents; as `lowercase` if null.
   */
  constructor(vocabulary, lowercase, { normalization = "nfkc", stripAccents = null } = {}) {
    const tokens = vocabulary.split("\n").map((line) => line.replace(/\r$/, ""));
    if (tokens.at(-1) === "") tokens.pop();
    this.#ids = new Map(tokens.map((token, id) => [token, id]));
    const missing = SPECIAL_TOKENS.filter((token) => !this.#ids.has(token));
    if (missing.length) {
      throw new Error(`The vocabulary lacks ${missing.join(", ")}. Is it that of the model?`);
    }
    if (tokens[0] !== SPECIAL_TOKENS[0]) {
      throw new Error(`The vocabulary must have ${SPECIAL_TOKENS[0]} on its first line.`);
    }
    if (this.#ids.size !== tokens.length) {
      const token = tokens.find((each, id) => this.#ids.get(each) !== id);
      throw new Error(`The vocabulary holds the token "${token}" twice. Remove one of them.`);
    }
    [, this.#unknown, this.#start, this.#end] = SPECIAL_TOKENS.map((x) => this.#ids.get(x));
    this.#longest = tokens.reduce((longest, token) => Math.max(longest, token.length), 0);
    this.lowercase = lowercase ?? !tokens.some(wouldFoldingChange);
    this.#normalizeCharacter = normalizer(normalization, this.lowercase, stripAccents);
    this.#checksum = crc32(this.#encoder.encode(tokens.map((token) => `${token}\n`).join("")));
  }

  /** The CRC-32 of the vocabulary, one token a line. */
  get vocabularyCrc32() {
    return this.#checksum;
  }

  /** How many ids there are. */
  get vocabularySize() {
    return this.#ids.size;
  }

  /**
   * Returns the ids of the whole text, without start, end and padding, and where each comes from:
   * the word of `ids[i]` is `text.slice(starts[i], ends[i])`.
   *
   * @param {string} text any string, lone surrogates included.
   * @returns {{ids: number[], starts: number[], ends: number[]}}
   */
  tokenize(text) {
    const tokens = { ids: [], starts: [], ends: [] };
    let word = "";
    let start = 0;
    let end = 0;
    const finishWord = () => {
      if (!word) return;
      for (const id of this.#pieces(word)) {
        tokens.ids.push(id);
        tokens.starts.push(start);
        tokens.ends.push(end);
      }
      word = "";
    };
    let position = 0;
    for (const character of text) {
      for (const unit of this.#normalize(character)) {
        if (unit === " ") {
          finishWord();
        } else {
          if (!word) start = position;
          word += unit;
          end = position + character.length;
        }
      }
      position += character.length;
    }
    finishWord();
    return tokens;
  }

  /**
   * Puts start and end tokens around ids of `tokenize`, cuts them and pads them with zeros.
   *
   * @param {number[]} ids
   * @param {number} sequenceLength at least 3.
   * @returns {Int32Array} of `sequenceLength` ids.
   */
  frame(ids, sequenceLength) {
    const framed = new Int32Array(sequenceLength);
    framed.set([this.#start, ...ids.slice(0, sequenceLength - 2), this.#end]);
    return framed;
  }

  // What a character becomes: words are then found between the spaces.
  #normalize(character) {
    let normalized = this.#normalized.get(character);
    if (normalized === undefined) {
      normalized = this.#normalizeCharacter(replaceLoneSurrogate(character));
      normalized = Array.from(normalized, separate).join("");
      this.#normalized.set(character, normalized);
    }
    return normalized;
  }

  #pieces(word) {
    let pieces = this.#piecesOfWord.get(word);
    if (pieces === undefined) {
      pieces = this.#cut(word);
      if (this.#piecesOfWord.size < MAX_CACHED_WORDS) this.#piecesOfWord.set(word, pieces);
    }
    return pieces;
  }

  // The longest pieces from the left; a word that has none somewhere is one unknown token.
  #cut(word) {
    if (this.#encoder.encode(word).length > MAX_BYTES_PER_WORD) return [this.#unknown];
    const pieces = [];
    let prefix = "";
    for (let start = 0; start < word.length; prefix = "##") {
      let end = Math.min(word.length, start + this.#longest);
      while (end > start && !this.#ids.has(prefix + word.slice(start, end))) end -= 1;
      if (end === start) return [this.#unknown];
      pieces.push(this.#ids.get(prefix + word.slice(start, end)));
      start = end;
    }
    return pieces;
  }
}

function wouldFoldingChange(token) {
  // No word of a text has brackets at its ends: these are special, [MASK] among them.
  return !/^\[.+\]$/.test(token) && Array.from(token, fold).join("") !== token;
}

// UTF-8 cannot hold it: in Python its three bytes become three replacement characters.
function replaceLoneSurrogate(character) {
  return /\p{Cs}/u.test(character) ? "\uFFFD".repeat(3) : character;
}

// What normalizes a character; three of them in place of a lone surrogate.
function normalizer(normalization, lowercase, stripAccents) {
  if (normalization === "bert") {
    const rules = { lowercase, stripAccents: stripAccents ?? lowercase };
    return (text) => Array.from(text, (each) => normalizeAsBert(each, rules)).join("");
  }
  return lowercase ? fold : (text) => text;
}

// Canonical decomposition (NFD) only: a "½" stays what it is. What is invisible vanishes.
function normalizeAsBert(character, { lowercase, stripAccents }) {
  if (/[\t\n\r\p{Z}]/u.test(character)) return " ";
  if (/[\p{Cc}\p{Cf}\p{Co}\uFFFD]/u.test(character)) return "";
  const text = stripAccents ? character.normalize("NFD").replace(/\p{Mn}/gu, "") : character;
  return lowercase ? Array.from(text, (each) => each.toLowerCase()).join("") : text;
}

// By hand: the browser's own digests are there on https only.
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}

// Case folding under NFKC, then NFD without the accents; a character at a time, as
// tensorflow-text does, so that rules about neighbors (the Greek final sigma) play no part.
function fold(character) {
  if (/\p{Default_Ignorable_Code_Point}/u.test(character)) return "";
  // Twice, because NFKC may bring up capitals, as in a squared "MHz".
  const folded = foldCase(foldCase(character.normalize("NFD")).normalize("NFKC"));
  return folded.normalize("NFKC").normalize("NFD").replace(/\p{Mn}/gu, "");
}

// JavaScript has no case folding. Lower, upper and lower case in turn is the same except for a letter
// that has lost its dot and a script that folds to its capitals.
function foldCase(text) {
  return Array.from(text, (character) => {
    if (character === "\u0131") return character;
    if (/\p{Script=Cherokee}/u.test(character)) return character.toUpperCase();
    return character.toLowerCase().toUpperCase().toLowerCase();
  }).join("");
}

function separate(character) {
  if (SEPARATOR.test(character)) return " ";
  return WORD_OF_ITS_OWN.test(character) ? ` ${character} ` : character;
}
