"""The project folder: the template, the pipelines and the programs that `emrp` builds, deploys and uploads."""

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import boto3

from emrp.errors import CommandError, UsageError


@dataclass(frozen=True)
class Project:
    """A checkout of EMR Pipelines."""

    folder: Path

    @classmethod
    def find(cls) -> Self:
        """Find the project that the current folder is in."""
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / "template.yaml").is_file() and (folder / "statemachine").is_dir():
                return cls(folder)
        raise UsageError(f"{here} is not in a checkout of EMR Pipelines: change to one, it has a template.yaml.")

    @property
    def tools(self) -> Path:
        """Where `make setup` puts the SAM CLI and an interpreter for its builds."""
        return self.folder / ".venv-sam" / "bin"

    @property
    def sam(self) -> str:
        """The SAM CLI: the project's own, else the one on PATH."""
        found = shutil.which("sam", path=str(self.tools)) or shutil.which("sam")
        if found is None:
            raise CommandError("The AWS SAM CLI is missing: run `make setup`, or install aws-sam-cli.")
        return found

    @property
    def pipelines(self) -> Path:
        """The folder of the pipeline files."""
        return self.folder / "pipelines"

    def upload_programs(self, bucket: str) -> list[str]:
        """Upload jobs/ to the bucket and return its keys; nothing is deleted there."""
        s3 = boto3.client("s3")
        files = [
            path
            for path in sorted((self.folder / "jobs").rglob("*"))
            if path.is_file() and not any(part.startswith((".", "__")) for part in path.parts[-2:])
        ]
        keys = [path.relative_to(self.folder).as_posix() for path in files]
        for path, key in zip(files, keys, strict=True):
            s3.upload_file(str(path), bucket, key)
        return keys


def this_runtime() -> str:
    """Return the Lambda runtime of this interpreter, for which its own pip can build."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def this_architecture() -> str:
    """Return the Lambda architecture of this machine."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"
