// Reads {sizes, rows} as JSON; writes a file's metadata, the windows of every size, and the pooled
// answers of the first row, the first two, and so on.
import { readFileSync } from "node:fs";

import { pool, readMetadata, splitIntoWindows } from "../../examples/web/windows.js";

const { buffer, byteOffset, byteLength } = readFileSync(process.argv[2]);
const { sizes, rows } = JSON.parse(readFileSync(0, "utf8"));
const windows = sizes.map(([numTokens, room]) =>
  splitIntoWindows(numTokens, room, 0.25).map(({ first, end }) => [first, end]),
);
const probabilities = rows.map((row) => Float32Array.from(row));
const pooled = (task) => rows.map((_, i) => Array.from(pool(probabilities.slice(0, i + 1), task)));
console.log(
  JSON.stringify({
    metadata: readMetadata(buffer.slice(byteOffset, byteOffset + byteLength)),
    windows,
    pooled: { single_label: pooled("single_label"), multi_label: pooled("multi_label") },
  }),
);
