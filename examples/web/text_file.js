const MAX_MEGABYTES = 20;
// How documents of PDF, RTF and PostScript start, which may be nothing but ASCII.
const OTHER_KINDS = ["%PDF-", "{\\rtf", "%!PS"];

/**
 * Reads a file as text: UTF-8, or UTF-16 where a byte order mark says so.
 *
 * @param {File} file
 * @returns {Promise<string>}
 * @throws {Error} if the file is not text in such an encoding: what it would be read as instead is
 *     not what was written.
 */
export async function readTextFile(file) {
  if (file.size > MAX_MEGABYTES * 1e6) {
    throw new Error(
      `${file.name} has ${Math.round(file.size / 1e6)} MB. Files of up to ${MAX_MEGABYTES} MB are ` +
        "opened: paste the part that matters.",
    );
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  try {
    const text = new TextDecoder(encodingOf(bytes), { fatal: true }).decode(bytes);
    const isOther = OTHER_KINDS.some((start) => text.startsWith(start));
    if (!isOther && !text.includes("\0")) return text;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // which is how a TextDecoder refuses
  }
  throw new Error(
    `${file.name} is not a text file in UTF-8. Save the document as plain text (.txt, UTF-8) ` +
      "first, or copy its text and paste it.",
  );
}

function encodingOf([first, second]) {
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  return "utf-8";
}
