const MAX_MEGABYTES = 20;
const MAX_SHARE_REPLACED = 0.1;

/**
 * Reads a file as text: UTF-8, or UTF-16 where a byte order mark says so.
 *
 * @param {File} file
 * @returns {Promise<{text: string, replaced: number}>} `replaced`: how many characters were not
 *     valid and became U+FFFD, as they do in Python.
 */
export async function readTextFile(file) {
  if (file.size > MAX_MEGABYTES * 1e6) {
    throw new Error(
      `${file.name} has ${Math.round(file.size / 1e6)} MB. Files of up to ${MAX_MEGABYTES} MB are ` +
        "opened: paste the part that matters.",
    );
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const text = new TextDecoder(encodingOf(bytes)).decode(bytes);
  const replaced = text.split("\uFFFD").length - 1;
  if (text.includes("\0") || replaced > MAX_SHARE_REPLACED * text.length) {
    throw new Error(
      `${file.name} is not a text file. Save the document as plain text (.txt, UTF-8) first, or ` +
        "copy its text and paste it.",
    );
  }
  return { text, replaced };
}

function encodingOf([first, second]) {
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  return "utf-8";
}
