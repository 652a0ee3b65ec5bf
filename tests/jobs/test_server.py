"""The engine's end of the protocol, spoken to as Blender speaks to it: over a real process's pipes."""

import json
import subprocess
import sys
import threading

import pytest
from likeness.core import protocol

pytestmark = pytest.mark.timeout(120)


class Engine:
    """A child process and its lines."""

    def __init__(self, log):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "likeness", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        self.number = 0

    def send(self, line: bytes) -> None:
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def receive(self) -> dict:
        timer = threading.Timer(60, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        assert line, "the engine ended"
        return json.loads(line)

    def call(self, method: str, params=None) -> dict:
        self.number += 1
        self.send(protocol.encode(protocol.request(self.number, method, params)))
        answer = self.receive()
        assert answer["id"] == self.number
        return answer


@pytest.fixture
def engine(tmp_path):
    with open(tmp_path / "engine.log", "wb") as log:
        engine = Engine(log)
        yield engine
        engine.process.kill()
        engine.process.wait()


def test_hello_tells_what_there_is(engine):
    facts = engine.call("hello", {"protocol": 1})["result"]
    assert facts["protocol"] == protocol.PROTOCOL_VERSION
    assert facts["devices"][-1] == "cpu" and facts["memory_gb"] > 0
    assert any("body" in name for name in facts["weights"])


def test_hello_of_another_protocol_is_refused_in_a_sentence(engine):
    error = engine.call("hello", {"protocol": 99})["error"]
    assert error["data"]["code"] == "engine.protocol" and error["data"]["hint"]


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"garbage\n", protocol.PARSE_ERROR),
        (b"\n", protocol.PARSE_ERROR),
        (b"[]\n", protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}\n', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"hello","params":[1]}\n', protocol.INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":1,"method":"fly"}\n', protocol.METHOD_NOT_FOUND),
        (b'"' + b"x" * (3 << 20) + b'"\n', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"cancel","params":{"job":"none"}}\n', protocol.LIKENESS_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"reconstruct","params":{"out":7}}\n', protocol.LIKENESS_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"reconstruct","params":{"out":"x","wings":2}}\n', protocol.LIKENESS_ERROR),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"inspect","params":{"path":"no/such/file.png"}}\n',
            protocol.LIKENESS_ERROR,
        ),
    ],
)
def test_bad_line_is_answered_and_the_engine_lives_on(engine, line, number):
    engine.send(line)
    assert engine.receive()["error"]["code"] == number
    assert "error" in engine.call("still there?")


def test_failed_job_says_so_and_leaves_nothing(engine, tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    out = tmp_path / "x.avatar"
    job = engine.call("elicit", {"photos": [str(tmp_path / "x.png")], "out": str(out)})["result"]["job"]
    while (message := engine.receive())["method"] == "progress":
        assert message["params"]["job"] == job
    assert message["method"] == "failed"
    assert set(message["params"]) == {"job", "code", "message", "hint"}
    assert "x.png" in message["params"]["message"] and message["params"]["hint"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["engine.log", "x.png"]


def test_engine_ends_when_blender_goes(engine):
    engine.call("hello")
    engine.process.stdin.close()
    assert engine.process.wait(30) == 0


def test_a_fit_is_a_job_like_any_other(engine, tmp_path):
    params = {"input": str(tmp_path / "nobody.png"), "out": str(tmp_path / "x.fit")}
    job = engine.call("fit", params)["result"]["job"]
    message = engine.receive()
    while message["method"] == "progress":
        assert message["params"]["stages"] == ["read", "body", "write"]
        message = engine.receive()
    assert message["method"] == "failed" and message["params"]["job"] == job
    assert "nobody.png" in message["params"]["message"] and not (tmp_path / "x.fit").exists()
    for wrong in ({"out": "x"}, {"input": 3, "out": "x"}, {"input": [], "out": "x"}, params | {"color": 1}):
        assert engine.call("fit", wrong)["error"]["data"]["code"].startswith("usage."), wrong
