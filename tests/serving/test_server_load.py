"""The server under load and faults, on loopback; each takes its time."""

import concurrent.futures
import contextlib
import http.client
import json
import shutil
import threading
import time
from pathlib import Path

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from benchmarks.server_load import load as server_load
from benchmarks.server_load.process import running_server
from tests.serving.stand_in import write_stand_in

MODEL = Path(__file__).parents[2] / "saved_models" / "sotu_era"

pytestmark = pytest.mark.slow


def wait_until(is_so, seconds=30):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_sixteen_clients_for_a_minute(capsys):
    figures = server_load.measure(MODEL, clients=16, seconds=60)
    with capsys.disabled():
        print(f"\n{json.dumps(figures)}")
    assert figures["wrong"] == []
    assert figures["answers"] > 200
    assert set(figures["faults"]) == {"hang_up", "large_body", "malformed_json", "wrong_types"}
    # It grows to what its batches and bodies take, and then no more.
    assert figures["peak_mb"] < figures["idle_mb"] + 800
    assert figures["growth_mb"] < 150


def test_a_new_version_while_serving(tmp_path):
    directory = tmp_path / "my_model"
    write_stand_in(directory / "1", "old", rounds=3)
    write_stand_in(tmp_path / "new", "new", rounds=3)
    texts = server_load.sample_texts()[:20]
    old = server_load.own_answers(directory, texts)
    new = server_load.own_answers(tmp_path / "new", texts)
    assert [x for x, _ in old] != [x for x, _ in new]
    with running_server(directory, "--poll-seconds", "1") as server:
        expected = [old]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            loading = pool.submit(server_load.load, server, texts, expected, clients=8, seconds=20)
            time.sleep(4)
            expected.append(new)
            shutil.copytree(tmp_path / "new", directory / "2")
            wait_until(lambda: "Version 2 is served" in server.log())
            shutil.copytree(tmp_path / "new", directory / "3")
            for file in (directory / "3" / "variables").iterdir():
                file.unlink()
            (directory / "3" / "saved_model.pb").write_bytes(b"half of it")
            wait_until(lambda: "Version 3" in server.log())
            figures = loading.result()
        assert figures["wrong"] == []
        after = server_load.load(server, texts, [new], clients=4, seconds=3)
        assert after["wrong"] == [] and after["answers"] > 10
        assert server.log().count("is ignored") == 1
        assert server.log().count("is served from") == 2


def test_versions_that_come_and_go_leave_no_memory_behind(tmp_path):
    directory = tmp_path / "my_model"
    directory.mkdir()
    shutil.copytree(MODEL / "1", directory / "1")
    with running_server(directory, "--poll-seconds", "1") as server:
        memory = []
        for number in range(2, 10):
            shutil.copytree(MODEL / "1", directory / f"{number}.unfinished")
            (directory / f"{number}.unfinished").rename(directory / str(number))
            wait_until(lambda number=number: f"Version {number} is served" in server.log())
            memory.append(server.megabytes("VmRSS"))
    # A model in memory takes some 20 MB; the first few fill what the allocator keeps.
    assert memory[-1] - memory[3] < 60, memory


@pytest.fixture
def slow_server(tmp_path):
    """A server whose every batch, of one text, takes about a second."""
    write_stand_in(tmp_path / "trial" / "1", rounds=100)
    server_load.own_answers(tmp_path / "trial", ["a"])
    start = time.perf_counter()
    server_load.own_answers(tmp_path / "trial", ["a"] * 5)
    rounds = int(100 * 1.0 / ((time.perf_counter() - start) / 5)) + 1
    write_stand_in(tmp_path / "slow" / "1", rounds=rounds)
    with running_server(tmp_path / "slow", "--max-batch-size", "1") as server:
        yield server


def test_sigterm_lets_requests_under_way_finish_and_refuses_new_ones(slow_server):
    server = slow_server
    body = json.dumps({"instances": ["a"]}).encode()
    path = "/v1/models/slow:predict"

    def ask():
        connection = http.client.HTTPConnection(server.host, server.http_port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", path, body)
            with connection.getresponse() as response:
                return response.status, json.loads(response.read())["predictions"][0]["label"]

    def ask_grpc():
        with grpc.insecure_channel(f"{server.host}:{server.grpc_port}") as channel:
            request = messages.ModelInferRequest(model_name="slow")
            added = request.inputs.add(name="text", datatype="BYTES", shape=[1])
            added.contents.bytes_contents.append(b"a")
            return GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)

    idle = http.client.HTTPConnection(server.host, server.http_port, timeout=60)
    idle.request("GET", "/v1/models")
    idle.getresponse().read()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        by_http = [pool.submit(ask) for _ in range(4)]
        by_grpc = [pool.submit(ask_grpc) for _ in range(3)]
        time.sleep(0.7)
        start = time.monotonic()
        server.process.terminate()
        time.sleep(0.7)
        with pytest.raises(ConnectionError):
            ask()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            idle.request("POST", path, body)
            idle.getresponse()
        with pytest.raises(grpc.RpcError) as raised:
            ask_grpc()
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert not all(x.done() for x in (*by_http, *by_grpc))  # some were under way
        assert [x.result() for x in by_http] == [(200, "first short")] * 4
        assert [x.result().model_version for x in by_grpc] == ["1"] * 3
    idle.close()
    assert server.process.wait(40) == 0
    assert time.monotonic() - start < 45
    assert "Traceback" not in server.log()


def test_sigterm_under_load_ends_in_time_without_a_wrong_answer():
    texts = server_load.sample_texts()
    expected = [server_load.own_answers(MODEL, texts)]
    with running_server(MODEL) as server:
        threading.Timer(5, server.process.terminate).start()
        figures = server_load.load(server, texts, expected, clients=16, seconds=12, faults=False)
        assert server.process.wait(30) == 0
    # Afterwards there is nobody to ask, which is all that may go wrong.
    gone = ("Connection", "RemoteDisconnected", "BrokenPipe", "_InactiveRpcError", "CannotSend")
    bad = [x for x in figures["wrong"] if not x.startswith(("the server ended with 0", *gone))]
    assert bad == []
    assert figures["answers"] > 20


def test_a_request_that_takes_too_long_does_not_hold_up_the_end(tmp_path):
    write_stand_in(tmp_path / "slow" / "1", rounds=1)
    with running_server(tmp_path / "slow", "--grace-seconds", "2") as server:
        # A client that has sent half a request and says no more.
        connection = http.client.HTTPConnection(server.host, server.http_port)
        connection.putrequest("POST", "/v1/models/slow:predict")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"half")
        time.sleep(0.5)
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert time.monotonic() - start < 25
        connection.close()
