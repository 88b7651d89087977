/**
 * Asks the classifier again with one part of the document after the other covered up.
 *
 * A covered token becomes padding, which takes no part in attention and pooling, and the others
 * stay where they are: what the model saw in training, when random tokens were covered.
 *
 * @param {import("./classifier.js").Classifier} classifier
 * @param {import("./classifier.js").Answer} answer for the whole document.
 * @param {{first: number, end: number}[]} parts see `equalParts`.
 * @yields {number} for each part, the probability of the answer's class without it.
 */
export async function* probabilitiesWithout(classifier, answer, parts) {
  for (const part of parts) {
    const rows = [];
    for (const window of answer.windows) rows.push(await without(classifier, window, part));
    yield classifier.pool(rows)[answer.best];
  }
}

// What a window says without the tokens of a part, most of which other windows may hold.
async function without(classifier, window, part) {
  const first = Math.max(part.first, window.first);
  const end = Math.min(part.end, window.end);
  if (first >= end) return window.probabilities;
  // The start token comes before those that are counted.
  const covered = window.framed.slice();
  return classifier.run(covered.fill(0, first - window.first + 1, end - window.first + 1));
}

/**
 * Splits tokens into parts whose lengths differ by one at most.
 *
 * @param {number} numTokens
 * @param {number} maxParts
 * @returns {{first: number, end: number}[]} `end` comes after the last token of a part.
 */
export function equalParts(numTokens, maxParts) {
  const count = Math.min(numTokens, maxParts);
  const boundary = (part) => Math.floor((part * numTokens) / count);
  return Array.from({ length: count }, (_, i) => ({ first: boundary(i), end: boundary(i + 1) }));
}
