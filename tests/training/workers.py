"""Processes that train together over the loopback."""

import contextlib
import json
import os
import socket
import subprocess
import sys

TIMEOUT = 240


def tf_configs(count):
    """A TF_CONFIG for each of so many workers, on free ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}})
        for i in range(count)
    ]


@contextlib.contextmanager
def started(commands, folder):
    """Starts `python -m` of each list of arguments as a worker; no process outlives the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        processes = []
        for i, config in enumerate(tf_configs(len(commands))):
            log = stack.enter_context(open(folder / f"log-{i}", "w"))
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, commands[i])],
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "TF_CONFIG": config,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                },
            )
            stack.callback(_end, process)
            processes.append(process)
        yield processes


def finish(commands, folder):
    """Runs the workers to their end: list of their exit codes, and of what they printed."""
    with started(commands, folder) as processes:
        codes = [process.wait(TIMEOUT) for process in processes]
    return codes, logs(commands, folder)


def logs(commands, folder):
    return [(folder / f"log-{i}").read_text() for i in range(len(commands))]


def _end(process):
    process.kill()
    process.wait()
