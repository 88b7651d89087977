// Runs the page's classifier on a stand-in for LiteRT.js. Reads {folder, text, parts} as JSON, and
// writes its answer and the probabilities without each part.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { folder, text, parts } = JSON.parse(readFileSync(0, "utf8"));
globalThis.fetch = async (path) => new Response(readFileSync(path));
const load = (name) => import(pathToFileURL(`${folder}/${name}`).href);
const { Classifier } = await load("classifier.js");
const { probabilitiesWithout } = await load("evidence.js");

const classifier = await Classifier.load("litert/", `${folder}/model/`);
const answer = await classifier.classify(text);
const without = [];
for await (const each of probabilitiesWithout(classifier, answer, parts)) without.push(each);
console.log(
  JSON.stringify({
    readsWindows: classifier.readsWindows,
    numTokens: answer.tokens.ids.length,
    numRead: answer.numRead,
    windows: answer.windows.map(({ framed }) => Array.from(framed)),
    probabilities: Array.from(answer.probabilities),
    best: answer.best,
    without,
  }),
);
