import { equalParts, probabilitiesWithout } from "./evidence.js";
import { asPercent } from "./formats.js";

const MAX_PARTS = 40;
const MAX_EXCERPT = 1000;
// Below it a float32 softmax holds no more than noise, and zero has no logarithm.
const SMALLEST_PROBABILITY = 1e-7;
// A change smaller than this is drawn and told as none.
const SMALLEST_CHANGE = 0.005;

/** The heat strip of a document, and the part of it that is looked at. */
export class EvidenceView {
  #element;
  #answer;
  #label;
  #parts;
  #bars;
  #without;

  /** @param {Record<string, HTMLElement>} element the elements of the page by their ids. */
  constructor(element) {
    this.#element = element;
    element.part.addEventListener("input", () => this.#select(element.part.valueAsNumber - 1));
    element.strip.addEventListener("click", ({ clientX }) => {
      const { left, width } = element.strip.getBoundingClientRect();
      this.#select(Math.floor(((clientX - left) / width) * this.#parts.length));
    });
  }

  hide() {
    this.#element.evidence.hidden = true;
  }

  /**
   * Measures and draws the evidence, part by part.
   *
   * @param {import("./classifier.js").Classifier} classifier
   * @param {import("./classifier.js").Answer} answer
   * @param {AbortSignal} signal stops it; what is measured by then stays.
   */
  async measure(classifier, answer, signal) {
    this.#answer = answer;
    this.#label = classifier.labels[answer.best];
    this.#parts = equalParts(answer.numRead, MAX_PARTS);
    this.#without = [];
    this.#prepare();
    for await (const probability of probabilitiesWithout(classifier, answer, this.#parts)) {
      this.#without.push(probability);
      this.#draw();
      // So that the page is drawn and its buttons work.
      await new Promise((resolve) => setTimeout(resolve));
      if (signal.aborted) break;
    }
    this.#finish();
  }

  #prepare() {
    const { evidence, evidenceStatus, meaning, progress, reader, stop, strip, winner } = this.#element;
    winner.textContent = this.#label;
    meaning.textContent =
      `Each bar is one of ${this.#parts.length} equal parts of what the model read. The model was ` +
      "asked again with that part covered up. Up: without the part the log probability of " +
      `“${this.#label}” falls. Down: without it that rises. Heights are relative to the largest ` +
      "change; changes of less than half a percent stay low. Parts that say the same stand in for " +
      "each other, so a flat bar need not be idle text.";
    this.#bars = this.#parts.map(() => document.createElement("span"));
    strip.replaceChildren(...this.#bars);
    progress.max = this.#parts.length;
    progress.value = 0;
    evidenceStatus.textContent = "";
    reader.hidden = true;
    stop.hidden = progress.hidden = evidence.hidden = false;
  }

  #draw() {
    const { progress, measured } = this.#element;
    const changes = this.#without.map((_, part) => this.#change(part));
    const largest = Math.max(SMALLEST_CHANGE, ...changes.map(Math.abs));
    changes.forEach((change, part) => {
      this.#bars[part].className = change > 0 ? "for" : "against";
      this.#bars[part].style.setProperty("--strength", Math.abs(change) / largest);
    });
    progress.value = this.#without.length;
    measured.textContent = `${this.#without.length} of ${this.#parts.length} parts`;
  }

  #finish() {
    const { evidenceStatus, measured, part, progress, reader, stop } = this.#element;
    const count = this.#without.length;
    measured.textContent = "";
    reader.hidden = false;
    // A button that hides would drop the focus.
    if (document.activeElement === stop) part.focus();
    stop.hidden = progress.hidden = true;
    part.max = count;
    const changes = this.#without.map((_, index) => this.#change(index));
    const largest = Math.max(...changes);
    const best = changes.indexOf(largest);
    const isWhole = count === this.#parts.length;
    evidenceStatus.textContent =
      (isWhole ? "" : `Stopped after ${count} of ${this.#parts.length} parts. `) +
      (largest > SMALLEST_CHANGE
        ? `Part ${best + 1} speaks most for “${this.#label}”.`
        : "No part alone carries the answer: what speaks for it is spread, or said more than once.");
    this.#select(best);
  }

  // How much a part adds to the log probability of the class.
  #change(part) {
    const logarithm = (probability) => Math.log(Math.max(probability, SMALLEST_PROBABILITY));
    return logarithm(this.#answer.probabilities[this.#answer.best]) - logarithm(this.#without[part]);
  }

  #select(index) {
    if (!(index in this.#without)) return;
    const { part, partMeaning, partText } = this.#element;
    const change = this.#change(index);
    const direction = change > 0 ? "speaks for" : "speaks against";
    const meaning =
      `Part ${index + 1} of ${this.#parts.length} ` +
      (Math.abs(change) < SMALLEST_CHANGE ? "changes little" : `${direction} “${this.#label}”`) +
      `: without it ${asPercent(this.#without[index])} instead of ` +
      `${asPercent(this.#answer.probabilities[this.#answer.best])}.`;
    part.value = index + 1;
    part.setAttribute("aria-valuetext", meaning);
    partMeaning.textContent = meaning;
    partText.textContent = this.#excerpt(this.#parts[index]);
    this.#bars.forEach((bar, each) => bar.toggleAttribute("data-selected", each === index));
  }

  #excerpt({ first, end }) {
    const { text, tokens } = this.#answer;
    const excerpt = text.slice(tokens.starts[first], tokens.ends[end - 1]);
    return excerpt.length > MAX_EXCERPT ? `${excerpt.slice(0, MAX_EXCERPT)} …` : excerpt;
  }
}
