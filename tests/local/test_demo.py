"""`emrp demo` and `emrp smoke` as their users run them: in a process of their own."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import pytest

from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest, eventually

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 400


class Emrp:
    """Starts `emrp` so that whatever it leaves behind can be found."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._mark = f"EMRP_TEST={uuid4()}"

    @contextmanager
    def start(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        name, value = self._mark.split("=")
        process = subprocess.Popen(
            [sys.executable, "-m", "emrp.cli", *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.temporary), "NO_COLOR": "1", name: value, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Return exit code, output and complaints."""
        with self.start(*arguments, **environment) as process:
            output, complaints = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, output, complaints

    def processes_left(self) -> list[str]:
        """The command lines of the processes that are still there, whoever has started them in between."""
        left = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    left.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has just ended, or is not ours
        return left


@pytest.fixture
def emrp(tmp_path: Path) -> Iterator[Emrp]:
    if not Path("/proc").exists():
        pytest.skip("looks for processes in /proc")
    # A shell that runs the tests in the background has SIGINT ignored, which the command would inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = Emrp(tmp_path)
    yield command
    signal.signal(signal.SIGINT, before)
    assert eventually(lambda: not command.processes_left()), command.processes_left()
    assert list(command.temporary.iterdir()) == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def read_until(stream: IO[str] | None, pattern: str) -> str:
    """Read lines until one matches; the end of the stream is a failure."""
    assert stream is not None
    seen = []
    for line in stream:
        seen.append(line)
        if re.search(pattern, line):
            return line
    pytest.fail(f"no line matches {pattern!r}:\n{''.join(seen)}")


@pytest.mark.spark
def test_demo_shows_result_and_email_when_all_is_well(emrp: Emrp) -> None:
    code, output, complaints = emrp.run("demo", "--port", "0")

    assert (code, complaints) == (0, "")
    states = "Plan Run", "Launch Application", "Run Jobs > process", "Run Jobs", "Clean Up", "Run Succeeded"
    positions = [output.index(f"{state}  ") for state in states]
    assert positions == sorted(positions)
    assert re.search(r"Data Engineer +│ +\d+ +│ +\d+ +│ +\d+ │", output)
    assert "E-mail to data-team@example.com: salaries succeeded" in output
    assert (ROOT / ".local" / "last-run" / "process" / "stdout").is_file()
    assert re.search(r"^Total +\d", output, re.MULTILINE)


@pytest.mark.spark
@pytest.mark.parametrize(
    ("moment", "sent"),
    [
        (r"✓ Start AWS", signal.SIGINT),
        (r"✓ Build the functions", signal.SIGTERM),
        (r"> process  (SUBMITTED|PENDING|SCHEDULED|RUNNING)", signal.SIGINT),
    ],
)
def test_nothing_is_left_when_the_demo_is_interrupted(moment: str, sent: signal.Signals, emrp: Emrp) -> None:
    port = free_port()
    with emrp.start("demo", "--port", str(port), "--keep") as process:
        read_until(process.stdout, moment)
        process.send_signal(sent)
        output, complaints = process.communicate(timeout=DEADLINE_SECONDS)

    assert (process.returncode, complaints) == (130, "")
    assert "Traceback" not in output
    assert lifecycle.find(port) is None
    assert not (ROOT / ".local" / str(port)).exists()


@pytest.mark.spark
def test_local_aws_stays_until_it_is_stopped_when_the_demo_shall_keep_it(emrp: Emrp) -> None:
    port = str(free_port())
    try:
        code, output, _ = emrp.run("demo", "--keep", "--port", port)
        assert code == 0
        assert f"export AWS_ENDPOINT_URL=http://127.0.0.1:{port}" in output

        code, output, _ = emrp.run("--local", "--port", port, "run", "salaries", "-p", "top=3", "--json")
        assert code == 0
        assert '"status": "SUCCEEDED"' in output

        code, _, complaint = emrp.run("--local", "--port", port, "run", "nonsense")
        assert code == 2
        assert 'There is no pipeline "nonsense"' in complaint
    finally:
        emrp.run("local", "down", "--port", port)


def test_one_sentence_is_said_when_the_port_is_taken(emrp: Emrp, local_aws: LocalAwsUnderTest) -> None:
    port = str(local_aws.server.port)

    code, _, complaints = emrp.run("demo", "--port", port)

    assert code == 3
    assert re.fullmatch(rf"Port {port} is already used by a local AWS .*--port\.\n", complaints)


@pytest.mark.spark
def test_smoke_leaves_nothing_in_the_account_when_it_has_passed(emrp: Emrp) -> None:
    with lifecycle.start(port=0, data_dir=emrp.temporary.parent / "aws") as server:
        aws = LocalAwsUnderTest(server)
        code, output, complaints = emrp.run("--local", "--port", str(server.port), "smoke", "--yes")

        assert (code, complaints) == (0, "")
        assert "This costs about 0.07 USD" in output
        assert "salaries succeeded" in output
        assert not [bucket for bucket in aws.client("s3").list_buckets()["Buckets"] if "smoke" in bucket["Name"]]
        assert aws.client("dynamodb").list_tables()["TableNames"] == []
        assert aws.client("sqs").list_queues().get("QueueUrls", []) == []
        assert aws.client("emr-serverless").list_applications()["applications"] == []
        assert aws.client("lambda").list_functions()["Functions"] == []
