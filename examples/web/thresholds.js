/**
 * Which labels a document has: those whose probability is above their threshold.
 *
 * @param {Float32Array} probabilities one a label.
 * @param {{name?: string, threshold?: number, thresholds?: number[]}} task what the file says.
 * @returns {number[]} places of labels, the most probable first; at most one of single labels.
 */
export function givenLabels(probabilities, task = {}) {
  const order = Array.from(probabilities.keys());
  order.sort((a, b) => probabilities[b] - probabilities[a]);
  if (task.name === "multi_label") {
    return order.filter((i) => probabilities[i] > (task.thresholds?.[i] ?? 0.5));
  }
  return order.slice(0, 1).filter((i) => !(probabilities[i] <= task.threshold));
}
