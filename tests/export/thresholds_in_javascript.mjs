// Reads a list of [probabilities, task] as JSON; writes the labels that are given for each.
import { readFileSync } from "node:fs";

import { givenLabels } from "../../examples/web/thresholds.js";

const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(([row, task]) => givenLabels(Float32Array.from(row), task))));
