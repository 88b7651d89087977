"""run_locally: a pipeline on Beam's direct runner, in a process of its own.

When a worker process of the direct runner dies, the runner waits for it forever. So each run is a
process that notices this and ends with `WORKER_DIED`; its other workers end with it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

from keras_combiner.scoring.shard import Shard

WORKER_DIED = 75


def run_locally(shards, settings, beam_options):
    """Scores shards.

    Args:
        shards: list of `Shard`.
        settings: dict, the other arguments of `add_scoring`.
        beam_options: list of str, options of Beam.

    Returns:
        bool, true if it finished, false if a worker died.

    Raises:
        RuntimeError: if the pipeline raised an error, which is on standard error.
    """
    job = json.dumps({"shards": shards, "settings": settings, "beam_options": beam_options})
    command = [sys.executable, "-c", "from keras_combiner.scoring import local_run as x; x.main()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
    try:
        with contextlib.suppress(BrokenPipeError):  # it has ended, and its code says why
            process.stdin.write(job + "\n")
            process.stdin.flush()
        process.wait()
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        # Whatever is left of its workers, also after an interrupt.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode == WORKER_DIED or process.returncode < 0:
        return False
    if process.returncode:
        raise RuntimeError(
            "The pipeline failed; its errors stand above. Shards that were finished stay; the same "
            "command goes on with the others."
        )
    return True


def main():
    """Runs the job on standard input, whose end is that of the process that waits for it."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from keras_combiner.scoring.pipeline import add_scoring

    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threading.excepthook = _end_with_workers
    # By name: DirectRunner would first try to fetch another runner.
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(job["beam_options"])) as run:
        add_scoring(run, [Shard(*x) for x in job["shards"]], **job["settings"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of gRPC may linger


def _end_with_parent():
    sys.stdin.read()
    os._exit(1)


def _end_with_workers(error):
    """Ends this process when the thread that watches a worker reports its death."""
    if "Worker subprocess exited" in str(error.exc_value):
        print(f"keras-combiner: {error.exc_value}", file=sys.stderr, flush=True)
        os._exit(WORKER_DIED)
    threading.__excepthook__(error)
