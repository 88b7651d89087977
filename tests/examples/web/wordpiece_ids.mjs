// Reads {vocabulary, lowercase, texts, rules} as JSON, writes the ids of every text as JSON.
import { readFileSync } from "node:fs";

import { WordPiece } from "../../../examples/web/wordpiece.js";

const { vocabulary, lowercase, texts, rules } = JSON.parse(readFileSync(0, "utf8"));
const wordpiece = new WordPiece(vocabulary, lowercase ?? undefined, rules);
console.log(JSON.stringify(texts.map((text) => wordpiece.tokenize(text).ids)));
