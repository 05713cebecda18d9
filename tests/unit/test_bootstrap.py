import os
import shutil
import sys
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path

import pytest

import bootstrap

Disk = namedtuple("Disk", "total used free")
Version = namedtuple("Version", "major minor micro")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "uv.lock", "requirements-sam.txt"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.fixture
def installers(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the installers by ones that only leave behind what they are run for; returns what was run."""
    calls: list[str] = []

    def run(command: Sequence[str], *_: object) -> None:
        calls.append(" ".join(command[1:3]))
        python = f".venv-sam/bin/python{bootstrap.version_name()}"
        made = {"sync": ".venv/bin/emrp", "pip": ".venv-sam/bin/sam", "-m": python}[command[1]]
        (project / made).parent.mkdir(parents=True, exist_ok=True)
        (project / made).touch()

    monkeypatch.setattr(bootstrap, "run", run)
    return calls


def set_up(project: Path) -> None:
    bootstrap.set_up(project, bootstrap.Progress(live=False))


def test_set_up_installs_everything_when_the_clone_is_fresh(project: Path, installers: list[str]) -> None:
    set_up(project)

    assert installers == ["-m venv", "-m pip", "sync --frozen", "pip install"]


def test_set_up_runs_nothing_when_nothing_changed(project: Path, installers: list[str]) -> None:
    set_up(project)
    installers.clear()

    set_up(project)

    assert installers == []


@pytest.mark.parametrize("name", ["pyproject.toml", "uv.lock", "requirements-sam.txt"])
def test_set_up_installs_again_when_a_lock_file_changed(name: str, project: Path, installers: list[str]) -> None:
    set_up(project)
    installers.clear()
    (project / name).write_text("changed")

    set_up(project)

    assert "sync --frozen" in installers


def test_tools_environment_is_made_anew_when_the_python_is_another(
    project: Path, installers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(project)
    monkeypatch.setattr(bootstrap, "usable", lambda _: True)
    monkeypatch.setattr(sys, "version_info", Version(3, 12, 0))
    monkeypatch.setattr(sys, "version", "3.12.0")
    installers.clear()

    set_up(project)

    assert installers[:2] == ["-m venv", "-m pip"]


def test_set_up_continues_when_it_was_interrupted(
    project: Path, installers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    working = bootstrap.run

    def interrupted(command: Sequence[str], *rest: object) -> None:
        if command[1] == "sync":
            raise KeyboardInterrupt
        working(command, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(bootstrap, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        set_up(project)
    monkeypatch.setattr(bootstrap, "run", working)

    set_up(project)

    assert installers[-2:] == ["sync --frozen", "pip install"]


def test_tools_environment_is_removed_when_uv_cannot_be_installed(
    project: Path, installers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = project / ".venv-sam"

    def failing(*_: object) -> None:
        tools.mkdir()
        raise bootstrap.BootstrapError("no index")

    monkeypatch.setattr(bootstrap, "run", failing)

    with pytest.raises(bootstrap.BootstrapError):
        set_up(project)

    assert not tools.exists()


def test_one_sentence_is_printed_when_no_supported_python_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", Version(3, 9, 1))
    monkeypatch.setattr(shutil, "which", lambda _: None)

    assert bootstrap.main([]) == bootstrap.EXIT_ENVIRONMENT
    assert capsys.readouterr().err.startswith("error: Python 3.11, 3.12 or 3.13 is needed and this is ")


def test_newest_supported_python_takes_over_when_this_one_is_unsupported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executed: list[str] = []
    present = {"python3.12": sys.executable}
    monkeypatch.setattr(sys, "version_info", Version(3, 14, 0))
    monkeypatch.setattr(shutil, "which", present.get)
    monkeypatch.setattr(os, "execv", lambda program, _: executed.append(program))

    with pytest.raises(bootstrap.BootstrapError):  # the replaced execv returns, the real one does not
        bootstrap.require_supported_python()

    assert executed == [sys.executable]


def test_set_up_refuses_when_the_disk_is_nearly_full(
    project: Path, installers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**12, 10**12, 10**8))

    with pytest.raises(bootstrap.BootstrapError, match=r"About 2 GB .* and 0\.1 GB are free"):
        set_up(project)

    assert installers == []


def test_set_up_refuses_when_the_venv_module_is_missing(
    project: Path, installers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)

    with pytest.raises(bootstrap.BootstrapError, match="sudo apt install python3"):
        set_up(project)

    assert installers == []


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "error: Failed to fetch: https://user:secret@index.example/simple/x\n  cause: dns error",
            "The package index index.example cannot be reached",
        ),
        ("ERROR: Could not find a version (from versions: none)", "The package index PyPI cannot be reached"),
        ("error: No space left on device (os error 28)", "The disk is full"),
        ("Resolving\nerror: something else\n\n", "uv failed (error: something else)"),
    ],
)
def test_explain_names_the_cause_when_an_installer_failed(output: str, sentence: str, tmp_path: Path) -> None:
    assert bootstrap.explain(output, "uv", tmp_path / "log").startswith(sentence)


def test_run_keeps_the_output_when_the_installer_fails(tmp_path: Path) -> None:
    log = tmp_path / "log"

    with pytest.raises(bootstrap.BootstrapError, match="the whole output is in"):
        bootstrap.run(
            [sys.executable, "-c", "print('oh'); raise SystemExit(2)"],
            bootstrap.Progress(live=False),
            log,
            tmp_path,
        )

    assert log.read_text() == "oh\n"
