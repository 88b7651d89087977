"""The page reads files as keras-combiner does: what is not text is refused, in node."""

import base64
import json
import subprocess
from pathlib import Path

from tests.examples.web.conftest import WEB, program

PROGRAM = """
import { readTextFile } from "%s";
import { readFileSync } from "node:fs";
const answers = [];
for (const each of JSON.parse(readFileSync(0))) {
  const file = new Blob([Buffer.from(each, "base64")]);
  file.name = "a.txt";
  answers.push(await readTextFile(file).catch((error) => ({ error: error.message })));
}
console.log(JSON.stringify(answers));
"""


def test_files_in_every_encoding():
    text = "Grüße, 世界 😀"
    good = [text.encode(x) for x in ("utf-8", "utf-8-sig", "utf-16")]
    good.append(b"\xfe\xff" + text.encode("utf-16-be"))
    wrong = [text[:5].encode("latin-1"), text.encode("utf-16-le"), text.encode("utf-32"), b"a\0b"]
    wrong += [b"%PDF-1.4\n(text)", b"{\\rtf1 text}", b"%!PS-Adobe-3.0\n(text) show"]
    contents = [base64.b64encode(x).decode() for x in good + wrong]
    done = subprocess.run(
        [program("node"), "--input-type=module", "-e", PROGRAM % Path(WEB / "text_file.js")],
        input=json.dumps(contents),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers[: len(good)] == [text] * len(good)
    assert all("is not a text file in UTF-8" in x["error"] for x in answers[len(good) :])
