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
  for (const { first, end } of parts) {
    // The start token comes before those that are counted.
    const covered = answer.framed.slice().fill(0, first + 1, end + 1);
    const probabilities = await classifier.run(covered);
    yield probabilities[answer.best];
  }
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
