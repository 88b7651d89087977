// Reads {vocabulary, lowercase, texts} as JSON, writes the ids of every text as JSON.
import { readFileSync } from "node:fs";

import { WordPiece } from "../../../examples/web/wordpiece.js";

const { vocabulary, lowercase, texts } = JSON.parse(readFileSync(0, "utf8"));
const wordpiece = new WordPiece(vocabulary, lowercase ?? undefined);
console.log(JSON.stringify(texts.map((text) => wordpiece.tokenize(text).ids)));
