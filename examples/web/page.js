import { EvidenceView } from "./evidence_view.js";
import { asCount, asPercent } from "./formats.js";
import { readTextFile } from "./text_file.js";

const LAST_WORDS = 60;

const element = Object.fromEntries(
  Array.from(document.querySelectorAll("[id]"), (each) => [each.id, each]),
);
const evidenceView = new EvidenceView(element);
const ready = loadClassifier();
let work = ready;
let stopping = new AbortController();

element.form.addEventListener("submit", (event) => {
  event.preventDefault();
  startClassifying();
});
element.text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) startClassifying();
});
element.open.addEventListener("click", () => element.file.click());
element.file.addEventListener("change", () => openFile(element.file.files[0]));
element.clear.addEventListener("click", clear);
element.stop.addEventListener("click", () => stopping.abort());
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, drag);
}

async function loadClassifier() {
  element.status.textContent = "Loading the model …";
  try {
    if (typeof WebAssembly !== "object") {
      throw new Error("This browser has no WebAssembly, which runs it, or it is switched off.");
    }
    const { Classifier } = await import("./classifier.js").catch((error) => {
      throw new Error(`LiteRT.js could not be loaded from litert/: ${error.message}.`);
    });
    const classifier = await Classifier.load("litert/", "model/");
    element.classify.disabled = false;
    element.status.textContent =
      `Ready: ${asCount(classifier.labels.length)} classes, documents of ` +
      (classifier.readsWindows
        ? "any length."
        : `up to ${asCount(classifier.sequenceLength - 2)} tokens.`);
    return classifier;
  } catch (error) {
    element.status.textContent = "";
    showProblem(`The model could not be loaded. ${error.message} Reload the page to try again.`);
    return null;
  }
}

async function openFile(file) {
  // So that the same file can be chosen again.
  element.file.value = "";
  if (!file) return;
  try {
    const text = await readTextFile(file);
    element.text.value = text;
    element.opened.textContent = `${file.name}: ${asCount(text.length)} characters.`;
  } catch (error) {
    showProblem(error.message);
    return;
  }
  startClassifying();
}

function drag(event) {
  // Text that is dragged into the field needs no help.
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  element.form.classList.toggle("dropping", event.type.match(/enter|over/) !== null);
  if (event.type === "drop") openFile(event.dataTransfer.files[0]);
}

function clear() {
  stopping.abort();
  element.text.value = "";
  element.opened.textContent = "";
  showProblem("");
  element.text.focus();
}

// One document after the other: a new one ends what is still measured for the last.
function startClassifying() {
  stopping.abort();
  stopping = new AbortController();
  const { signal } = stopping;
  work = work
    .then(() => classify(element.text.value, signal))
    .catch((error) => showProblem(`The model could not be run: ${error.message ?? error}.`));
}

async function classify(text, signal) {
  const classifier = await ready;
  if (!classifier || signal.aborted) return;
  showProblem("");
  element.status.textContent = "Reading the document …";
  await new Promise((resolve) => setTimeout(resolve));
  const answer = await classifier.classify(text);
  if (signal.aborted) return;
  if (!answer) {
    showProblem("There is no text to classify. Paste a document, or open a text file.");
    element.text.focus();
    return;
  }
  showAnswer(classifier.labels, answer);
  await evidenceView.measure(classifier, answer, signal);
}

function showAnswer(labels, answer) {
  const { text, tokens, numRead, windows, probabilities, given, best, milliseconds } = answer;
  const isCut = numRead < tokens.ids.length;
  element.status.textContent =
    (given.length ? "" : "No label is probable enough; the most probable one is ") +
    (given.length ? given : [best])
      .map((index) => `${labels[index]}: ${asPercent(probabilities[index])}`)
      .join(", ") +
    ". " +
    (isCut ? "The document was cut." : "All of the document was read.");
  element.cut.hidden = !isCut;
  element.cut.textContent = isCut ? howItWasCut(text, tokens, numRead) : "";
  const order = Array.from(labels.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  element.classes.replaceChildren(
    ...order.map((index) => classRow(labels[index], probabilities[index])),
  );
  element.timing.textContent =
    `Tokens: ${asCount(tokens.ids.length)}${inWindows(windows.length)}. Time: tokenizer ${Math.ceil(milliseconds.tokenizer)} ms, ` +
    `model ${Math.ceil(milliseconds.model)} ms.`;
  element.result.hidden = false;
}

function classRow(label, probability) {
  const row = document.createElement("li");
  const name = row.appendChild(document.createElement("span"));
  name.dir = "auto";
  name.textContent = label;
  const value = row.appendChild(document.createElement("data"));
  value.value = probability;
  value.textContent = asPercent(probability);
  row.style.setProperty("--share", probability);
  return row;
}

function inWindows(count) {
  return count > 1 ? `, in ${asCount(count)} windows` : "";
}

function howItWasCut(text, { ids, starts, ends }, numRead) {
  const end = ends[numRead - 1];
  const lastWords = text.slice(Math.max(starts[0], end - LAST_WORDS), end).replace(/^\S*\s+/, "");
  return (
    `This document was cut. It has ${asCount(ids.length)} tokens (words and pieces of words), and ` +
    `the model reads ${asCount(numRead)}: what follows the first ` +
    `${asPercent(numRead / ids.length)} was not read. Last words read: “… ${lastWords}”`
  );
}

// What is shown of an earlier document would be taken for that of the one with the problem.
function showProblem(words) {
  element.problem.textContent = words;
  if (words) element.status.textContent = "";
  element.result.hidden = true;
  evidenceView.hide();
}
