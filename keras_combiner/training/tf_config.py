"""TF_CONFIG: which machines train together, and which of them this is."""

import json
import re

_VARIABLE = "TF_CONFIG"
_JOBS = ("chief", "worker")
_ADDRESS = re.compile(r"[^\s/:]+:[0-9]+|\[[0-9a-fA-F:]+\]:[0-9]+")  # a name, IPv4 or IPv6
_LARGEST_PORT = 65535
_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def check_tf_config(environment):
    """Reads TF_CONFIG before TensorFlow does, which would wait or fail without a reason.

    Args:
        environment: mapping, such as `os.environ`.

    Returns:
        pair of dict, job ("chief" or "worker") to list of addresses, and pair of str and int, the
        job and the index in it of this process.

    Raises:
        ValueError: if TF_CONFIG is missing, or does not describe a cluster and this process's place
            in it.

    Example:

    >>> cluster, task = check_tf_config({"TF_CONFIG": _EXAMPLE})
    >>> cluster["worker"], task
    (['10.0.0.1:2222', '10.0.0.2:2222'], ('worker', 0))
    """
    text = environment.get(_VARIABLE)
    if not text:
        raise _error("it is not set")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _error(f"it is not JSON ({error}): {text!r}") from None
    cluster = config.get("cluster") if isinstance(config, dict) else None
    if not isinstance(cluster, dict) or not cluster:
        raise _error(f'it has no "cluster": {text!r}')
    for job, addresses in cluster.items():
        if job not in _JOBS:
            raise _error(f"its cluster has a {job!r}; there are only {' and '.join(_JOBS)}")
        if not isinstance(addresses, list) or not addresses:
            raise _error(f"the {job!r} of its cluster is not a list of addresses: {addresses!r}")
        for address in addresses:
            if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
                raise _error(f"an address is not of the form host:port: {address!r}")
            if not 1 <= int(address.rpartition(":")[2]) <= _LARGEST_PORT:
                raise _error(
                    f"the port of an address is not from 1 to {_LARGEST_PORT}: {address!r}"
                )
    every = [address for addresses in cluster.values() for address in addresses]
    if len(set(every)) < len(every):
        raise _error(f"two of its processes have one address: {every}")
    if len(cluster.get("chief", ())) > 1:
        raise _error("its cluster has more than one chief")
    task = config.get("task")
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise _error(f'it has no "task" with a "type" and an "index": {text!r}')
    job, index = task["type"], task["index"]
    if not isinstance(job, str) or job not in cluster:
        raise _error(f"its task is a {job!r}, which its cluster does not have")
    index = int(index) if isinstance(index, str) and index.isdecimal() else index
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(cluster[job]):
        raise _error(f"the index of its task is {index!r}, of {len(cluster[job])} {job!r}")
    return cluster, (job, index)


def _error(found):
    return ValueError(
        f"The strategy multi_worker needs the environment variable {_VARIABLE} in every process, "
        f"with an index of its own, for example {_EXAMPLE}. Here {found}."
    )
