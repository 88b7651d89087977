"""`keras-combiner serve` in a process of its own, on ports of loopback that are free."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks.common import files, memory

ANNOUNCED = re.compile(r"at http://\S+:(\d+) \(gRPC: \S+:(\d+)\)")
START_SECONDS = 120


class ServerProcess:
    """A server that runs.

    Attributes:
        process: `subprocess.Popen`.
        host: str, loopback.
        http_port: int.
        grpc_port: int.
        name: str, the model's name.
    """

    def __init__(self, process, name, http_port, grpc_port, log):
        self.process = process
        self.host = "127.0.0.1"
        self.name = name
        self.http_port = http_port
        self.grpc_port = grpc_port
        self._log = log

    def log(self):
        """Returns what it has written to standard error so far."""
        return Path(self._log).read_text(encoding="utf-8", errors="replace")

    def megabytes(self, field):
        """Returns the memory of the process in MiB; `field` as in `memory.status_bytes`."""
        return memory.status_bytes(field, self.process.pid) / 2**20


@contextlib.contextmanager
def running_server(model, *options):
    """Starts a server, and ends it with the block.

    Args:
        model: str or path, its --model.
        *options: str, more of its options.

    Yields:
        `ServerProcess`, once it answers.

    Raises:
        RuntimeError: if it does not start, with what it said.
    """
    command = [sys.executable, "-m", "keras_combiner.cli.main", "serve", "--model", str(model)]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{files.ROOT}{os.pathsep}{os.environ.get('PYTHONPATH')}",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        process = subprocess.Popen(
            [*command, "--http-port", "0", "--grpc-port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        watchdog = threading.Timer(START_SECONDS, process.kill)
        watchdog.start()
        try:
            first = process.stdout.readline()
            found = ANNOUNCED.search(first)
            if not found:
                process.kill()
                process.wait()
                raise RuntimeError(f"The server did not start: {first}{Path(log.name).read_text()}")
            watchdog.cancel()
            name = re.match(r"Serving (\S+), ", first)[1]
            yield ServerProcess(process, name, int(found[1]), int(found[2]), log.name)
        finally:
            watchdog.cancel()
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
