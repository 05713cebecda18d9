"""The shipped jar is what its source says."""

import shutil
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

from emrp.local.spark.command import JAR
from emrp.local.spark.java import OLDEST
from emrp.local.spark.jvm.build import build, recorded_digest, source_digest


def test_source_digest_matches_when_jar_is_shipped() -> None:
    assert recorded_digest(JAR) == source_digest(), "run: python -m emrp.local.spark.jvm.build"


def _javac_version() -> str:
    if shutil.which("javac") is None:
        return ""
    return subprocess.run(["javac", "-version"], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not _javac_version().startswith(f"javac {OLDEST}."), reason="compilers differ: needs a JDK 17")
def test_same_classes_come_out_when_jar_is_built_again(tmp_path: Path) -> None:
    build(tmp_path / "again.jar")
    assert _content(tmp_path / "again.jar") == _content(JAR)


def _content(jar: Path) -> dict[str, bytes]:
    with ZipFile(jar) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
