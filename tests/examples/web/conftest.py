"""Node for the tokenizer, headless Chromium for the page."""

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WEB = ROOT / "examples" / "web"
MODEL = ROOT / "saved_models" / "sotu_era"


def program(*names):
    """The first of these programs that is installed; the test is skipped if none is."""
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"not run: {' or '.join(names)} is not installed")


@pytest.fixture(scope="session")
def javascript_ids():
    """Runs the page's tokenizer in node: `(vocabulary, lowercase, texts, rules)` to rows of ids."""
    node = program("node")

    def run(vocabulary, lowercase, texts, rules=()):
        request = {"vocabulary": vocabulary, "lowercase": lowercase, "texts": texts}
        done = subprocess.run(
            [node, Path(__file__).with_name("wordpiece_ids.mjs")],
            input=json.dumps({**request, "rules": dict(rules)}),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def litert():
    """What `make web` puts beside the page."""
    program("npm")
    subprocess.run(["make", "--silent", "examples/web/litert/core.js"], cwd=ROOT, check=True)
    return WEB / "litert"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def serve(litert, tmp_path_factory):
    """Serves the page with other files in place of some of its own.

    `serve({"model/labels.txt": b"..."})` gives its address; None in place of bytes leaves a file
    out.
    """
    with contextlib.ExitStack() as stack:

        def start(changes=()):
            folder = tmp_path_factory.mktemp("site")
            for file in [*WEB.glob("*.*"), *litert.iterdir()]:
                copy = folder / file.relative_to(WEB)
                copy.parent.mkdir(exist_ok=True)
                copy.symlink_to(file)
            (folder / "model").mkdir()
            for name in ("model.tflite", "vocab.txt", "labels.txt"):
                (folder / "model" / name).symlink_to(MODEL / name)
            for name, content in dict(changes).items():
                (folder / name).unlink()
                if content is not None:
                    (folder / name).write_bytes(content)
            handler = functools.partial(QuietHandler, directory=folder)
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/"

        yield start


@pytest.fixture(scope="session")
def address(serve):
    return serve()


@pytest.fixture(scope="session")
def browser():
    chromium = program("chromium", "chromium-browser", "google-chrome")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        # Root, as in a container, has no sandbox.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens an address in a window of its own; errors that the page does not tell fail the test."""
    with contextlib.ExitStack() as stack:

        def open_address(address, is_ready=True, init_script=None, **options):
            context = stack.enter_context(
                browser.new_context(**{"viewport": {"width": 1024, "height": 900}, **options})
            )
            page = context.new_page()
            page.set_default_timeout(20_000)
            if init_script:
                page.add_init_script(init_script)
            page.problems = []
            page.on("pageerror", lambda error: page.problems.append(str(error)))
            page.addresses = set()
            page.on("request", lambda request: page.addresses.add(request.url))
            stack.callback(check, page, address)
            page.goto(address)
            if is_ready:
                page.locator("#status", has_text="Ready").wait_for()
            return page

        def check(page, address):
            assert page.problems == []
            assert all(each.startswith((address, "data:", "blob:")) for each in page.addresses)

        yield open_address
