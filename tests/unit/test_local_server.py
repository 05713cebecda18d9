"""What the server of the local AWS leaves behind."""

import os
import signal
from argparse import Namespace
from pathlib import Path

import pytest

from emrp.local import server


@pytest.mark.parametrize(("persistent", "left"), [(False, []), (True, ["data/state"])])
def test_temporary_files_are_gone_when_an_orderly_stop_took_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, persistent: bool, left: list[str]
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "killpg", lambda *arguments: killed.append(arguments))
    for folder in ("state", "tmp"):
        (tmp_path / "data" / folder).mkdir(parents=True)

    server._kill_process_group(Namespace(data_dir=tmp_path / "data", persistent=persistent))

    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")] == left
    assert killed == [(os.getpgrp(), signal.SIGKILL)]
