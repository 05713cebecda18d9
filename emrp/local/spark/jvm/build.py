"""Builds the jar with everything that the drivers run on the JVM; needs a JDK, whereas running it does not.

    python -m emrp.local.spark.jvm.build

The jar is shipped, so it is reproducible: no times, sorted entries. It carries the digest of its source, so
that a jar which does not match is found where there is no JDK.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from emrp.local.spark.command import JAR, SPARK_HOME
from emrp.local.spark.java import OLDEST

SOURCE = Path(__file__).with_name("src")
_DIGEST = "META-INF/source.sha256"


def source_digest() -> str:
    """Return the digest of the sources' names and contents."""
    digest = hashlib.sha256()
    for file in _sources():
        digest.update(file.relative_to(SOURCE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def recorded_digest(jar: Path) -> str:
    """Return the digest of the sources that a jar was built from."""
    with ZipFile(jar) as archive:
        return archive.read(_DIGEST).decode()


def build(jar: Path) -> None:
    """Compile the sources against PySpark's own jars and pack the classes."""
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder)
        command = ["javac", "--release", str(OLDEST), "-proc:none", "-g:source,lines"]
        command += ["-Xlint:all,-path,-classfile", "-Werror"]
        command += ["-cp", str(SPARK_HOME / "jars" / "*"), "-d", str(classes), *map(str, _sources())]
        subprocess.run(command, check=True)
        with ZipFile(jar, "w", ZIP_DEFLATED) as archive:
            _add(archive, _DIGEST, source_digest().encode())
            for file in sorted(classes.rglob("*.class")):
                _add(archive, file.relative_to(classes).as_posix(), file.read_bytes())


def _add(archive: ZipFile, name: str, content: bytes) -> None:
    entry = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.java"))


if __name__ == "__main__":
    try:
        build(JAR)
    except FileNotFoundError:
        sys.exit("Building the jar needs a JDK: there is no javac on the PATH.")
