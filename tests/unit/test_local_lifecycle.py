"""What is said when the local AWS does not start; its real starts are in tests/local/test_local_aws.py."""

import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from emrp.local import lifecycle
from emrp.local.lifecycle import LocalAwsError

PORT = 4711


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a local AWS on a port that nobody needs."""
    listener = mock.MagicMock()
    listener.__enter__.return_value.getsockname.return_value = ("127.0.0.1", PORT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lifecycle, "_bind", lambda _: listener)
    return tmp_path / ".local" / str(PORT)


def start(program: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Start a program as the server, and return why it is none; nothing of it is left."""
    processes: list[subprocess.Popen[bytes]] = []

    def spawn(*_: object, **__: object) -> tuple[subprocess.Popen[bytes], None]:
        with (home / "server.log").open("wb") as log:
            processes.append(subprocess.Popen([sys.executable, "-c", program], stderr=log, start_new_session=True))
        return processes[0], None

    monkeypatch.setattr(lifecycle, "_spawn", spawn)
    with pytest.raises(LocalAwsError) as refused:
        lifecycle.start(PORT)
    assert processes[0].poll() is not None
    return str(refused.value)


def test_log_is_named_and_kept_when_the_server_takes_too_long(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "START_SECONDS", 0)

    complaint = start("import time; time.sleep(600)", home, monkeypatch)

    assert complaint == f"The local AWS was not ready within 0 s; its log is {home}/server.log."
    assert (home / "server.log").is_file()


def test_last_line_of_the_log_is_told_when_the_server_ends(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_get", mock.Mock(side_effect=ConnectionRefusedError))

    complaint = start("import sys; sys.exit('No room.')", home, monkeypatch)

    assert complaint == f"The local AWS did not start: No room. Its log is {home}/server.log."
