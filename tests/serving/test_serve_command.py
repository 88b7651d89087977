import contextlib
import logging.config
import socket
import subprocess
import sys

import pytest

from keras_combiner.cli.main import main


@pytest.fixture(autouse=True)
def no_logging(monkeypatch):
    """The command configures logging for its process, which is that of other tests here."""
    monkeypatch.setattr(logging.config, "dictConfig", lambda config: None)


@pytest.fixture
def broken(tmp_path):
    folder = tmp_path / "my_model" / "1"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text("no SavedModel")
    return folder.parent


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_port_that_is_taken(broken, option, capsys):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        other = "--grpc-port" if option == "--http-port" else "--http-port"
        assert main(["serve", "--model", str(broken), option, port, other, "0"]) == 1
    error = capsys.readouterr().err
    assert f"Cannot listen at port {port} of 127.0.0.1: Address already in use" in error
    assert f"Choose another port with {option}" in error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--http-port", "0", "--grpc-port", "0"], "No version in"),
        (["--host", "192.0.2.1"], "Cannot listen at port 8080 of 192.0.2.1"),
        (["--host", "no.such.host.invalid"], "another address with --host"),
        (["--http-port", "99999"], "Expected a port from 0 to 65535. Received: --http-port"),
        (["--name", "my model"], "Received: 'my model'. Give another with --name"),
        (["--version-label", "a b=1"], "a version's label in their address, which takes letters"),
        (
            ["--version-label", "a=1", "--version-label", "a=2"],
            "every label of --version-label once",
        ),
    ],
)
def test_what_cannot_be_served(broken, options, words, capsys):
    assert main(["serve", "--model", str(broken), *options]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("keras-combiner: error: ") and words in error


@pytest.mark.parametrize("label", ["stable", "stable=", "=3", "stable=three", "stable=-1"])
def test_a_label_that_names_no_version(broken, label, capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--model", str(broken), f"--version-label={label}"])
    assert "expected LABEL=N, a name and the number of a version" in capsys.readouterr().err


def test_without_kserve_the_extra_is_named(broken):
    program = (
        "import sys; sys.modules['kserve'] = None\n"
        "from keras_combiner.cli.main import main\n"
        f"sys.exit(main(['serve', '--model', {str(broken)!r}]))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "pip install 'keras_combiner[server]'" in ran.stderr.splitlines()[-1]


def test_the_server_imports_no_keras_of_this_package():
    program = (
        "import sys, keras_combiner.serving\n"
        "from keras_combiner.serving.served_version import ServedVersion\n"
        "print([x for x in sys.modules if x.startswith(('keras_combiner.', 'tensorflow'))\n"
        "       and not x.startswith(('keras_combiner.serving', 'keras_combiner.version'))])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stderr
