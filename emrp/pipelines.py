"""`emrp deploy FOLDER`: pipeline files on this machine become registered pipelines, as an upload to the bucket does.

Everything is checked before anything is uploaded. The function `register_pipeline` does the rest; here its result is
waited for, because an upload of data that no registered pipeline claims is ignored.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import unified_diff
from pathlib import Path

import boto3
from emr_pipelines.definition import Definition
from emr_pipelines.errors import InvalidPipelineError, Problem
from emr_pipelines.gateways.pipeline_bucket import SUFFIXES, PipelineBucket, StoredFile, name_of, version_of
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry, Registered
from emr_pipelines.hints import did_you_mean
from emr_pipelines.pipeline import check_pipeline
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.syntax import Syntax

from emrp.errors import CommandError, PipelineFileError, UsageError
from emrp.progress import Stages
from emrp.project import Project
from emrp.stack import Stack

NEW, CHANGED, UNCHANGED, RETIRED, ONLY_IN_BUCKET = "new", "changed", "unchanged", "retired", "only in the bucket"

_REGISTRATION_SECONDS = 120.0
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline file of this machine; it has no text but an `error` when it cannot be read."""

    path: Path
    text: str = ""
    error: str | None = None

    @property
    def name(self) -> str:
        """The name of the pipeline."""
        return self.path.stem

    @property
    def key(self) -> str:
        """Where it goes in the bucket."""
        return f"pipelines/{self.path.name}"


@dataclass(frozen=True)
class Change:
    """What deploying would do to one file; `before` is the registered text, and there is no `file` for what is gone."""

    key: str
    kind: str
    file: PipelineFile | None = None
    before: str = ""

    @property
    def diff(self) -> str:
        """The change of the text, as `diff -u` shows it."""
        after = self.file.text if self.file else ""
        lines = unified_diff(
            self.before.splitlines(keepends=True), after.splitlines(keepends=True), f"registered {self.key}", self.key
        )
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def find_files(paths: Sequence[Path]) -> list[PipelineFile]:
    """Read pipeline files, and those in folders; raises UsageError when there are none."""
    found = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    files = [_read(path) for path in found if path.suffix in SUFFIXES]
    if not files:
        raise UsageError(f"There is no pipeline file ({', '.join(SUFFIXES)}) in {', '.join(map(str, paths))}.")
    return files


def _read(path: Path) -> PipelineFile:
    try:
        return PipelineFile(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        return PipelineFile(path, error=f"cannot be read: {error}")


def check_file(file: PipelineFile) -> Definition:
    """Return the definition that a file contains; raises InvalidPipelineError with every problem."""
    if file.error:
        raise InvalidPipelineError(str(file.path), [Problem("", file.error)])
    return check_pipeline(str(file.path), file.name, file.text)


def problems_of(file: PipelineFile) -> Sequence[Problem]:
    """Return what is wrong with a file."""
    try:
        check_file(file)
    except InvalidPipelineError as error:
        return error.problems
    return ()


def result(file: str, problems: Sequence[Problem]) -> dict[str, object]:
    """Return what scripts are told about a file that has been checked."""
    return {"file": file, "valid": not problems, "problems": [asdict(problem) for problem in problems]}


def read_files(paths: Sequence[Path]) -> list[PipelineFile]:
    """Read and check pipeline files, and those in folders; raises PipelineFileError with all of their problems."""
    files = find_files(paths)
    found = {str(file.path): [*_namesakes(file, files), *problems_of(file)] for file in files}
    complaints = [str(InvalidPipelineError(path, problems)) for path, problems in found.items() if problems]
    if complaints:
        results = [result(path, problems) for path, problems in found.items()]
        raise PipelineFileError("\n".join([*complaints, "Nothing was uploaded."]), results)
    return files


def _namesakes(file: PipelineFile, files: Sequence[PipelineFile]) -> Iterator[Problem]:
    same = [str(other.path) for other in files if other.name == file.name]
    if len(same) > 1:
        yield Problem("", f"the pipeline {file.name} has several files: {', '.join(same)}")


def no_such_pipeline(stack: Stack, name: str) -> UsageError:
    """Return the complaint about a pipeline that is not registered; `name` may also be the path of its file."""
    known = [registered.name for registered in PipelineRegistry(stack.run_table).list()]
    meant = did_you_mean(Path(name).stem.lower(), known, "it has")
    return UsageError(
        f'There is no pipeline "{name}" in the stack {stack.name}: deploy it with `{stack.command} deploy`; {meant}'
    )


def compare(stack: Stack, files: Iterable[PipelineFile], *, whole: bool, prune: bool = False) -> list[Change]:
    """Compare files with what is registered; with `whole` they are all that there is, with `prune` all that stays."""
    bucket, registry = PipelineBucket(stack.bucket), PipelineRegistry(stack.run_table)
    registered = {pipeline.name: pipeline for pipeline in registry.list()}
    changes = [_compare(stack, file, bucket, registered.get(file.name)) for file in files]
    if whole:
        kept = {change.key for change in changes}
        changes += [Change(key, RETIRED if prune else ONLY_IN_BUCKET) for key in bucket.list() if key not in kept]
    return sorted(changes, key=lambda change: change.key)


def _compare(stack: Stack, file: PipelineFile, bucket: PipelineBucket, registered: Registered | None) -> Change:
    if registered is None:
        return Change(file.key, NEW, file)
    if registered.file != file.key:
        raise UsageError(
            f"The pipeline {file.name} is registered from {registered.file}: delete that file in the bucket, or name "
            f"{file.path.name} like it."
        )
    newest = next((stored for stored in bucket.files_of(file.name).files if stored.key == file.key), None)
    before = _text_of(stack, registered, newest)
    if before == file.text and newest and newest.version == registered.version:
        return Change(file.key, UNCHANGED, file, before)
    return Change(file.key, CHANGED, file, before)


def _text_of(stack: Stack, registered: Registered, newest: StoredFile | None) -> str:
    """Return the registered text, which is not the newest one when that was rejected."""
    if newest and newest.version == registered.version:
        return newest.text
    s3 = boto3.client("s3")
    try:
        answer = s3.get_object(Bucket=stack.bucket, Key=registered.file, VersionId=registered.version)
    except s3.exceptions.ClientError:  # S3 has forgotten the version
        return ""
    return answer["Body"].read().decode(errors="replace")


def show(console: Console, changes: Iterable[Change]) -> None:
    """Show what deploying would do."""
    for change in changes:
        console.print(f"{change.kind:>18}  {change.key}", markup=False, highlight=False, soft_wrap=True)
        if change.kind == CHANGED:
            console.print(Syntax(change.diff, "diff", theme="ansi_dark", background_color="default"), soft_wrap=True)


def pending(changes: Iterable[Change]) -> list[Change]:
    """Return the changes that there is something to do for."""
    return [change for change in changes if change.kind in {NEW, CHANGED, RETIRED}]


def apply(stages: Stages, stack: Stack, changes: Sequence[Change]) -> dict[str, str | None]:
    """Upload what is new or changed, delete what is retired; returns the versions by key."""
    todo = pending(changes)
    if not todo:
        return {}
    with stages.stage(_what_is_done(todo)) as status:
        return register(stack, {change.key: change.file.text if change.file else None for change in todo}, status)


def _what_is_done(todo: Sequence[Change]) -> str:
    retired = sum(change.kind == RETIRED for change in todo)
    numbers = {"register": len(todo) - retired, "retire": retired}
    parts = [f"{verb} {_pipelines(number)}" for verb, number in numbers.items() if number]
    return ", ".join(parts).capitalize()


def _pipelines(number: int) -> str:
    return "1 pipeline" if number == 1 else f"{number} pipelines"


def deploy_project(stages: Stages, stack: Stack, project: Project) -> None:
    """Upload the programs of a project, and register its pipelines."""
    with stages.stage("Upload the programs"):
        project.upload_programs(stack.bucket)
    apply(stages, stack, compare(stack, read_files([project.pipelines]), whole=False))


def register(stack: Stack, texts: Mapping[str, str | None], status: Status | None = None) -> dict[str, str | None]:
    """Upload pipeline files by key (None deletes one) and wait until that is done; returns their versions."""
    s3 = boto3.client("s3")
    versions: dict[str, str | None] = {}
    for key, text in texts.items():
        if text is None:
            s3.delete_object(Bucket=stack.bucket, Key=key)
            versions[key] = None
        else:
            versions[key] = version_of(s3.put_object(Bucket=stack.bucket, Key=key, Body=text.encode()))
    wait_until_registered(stack, versions, status=status)
    return versions


def wait_until_registered(
    stack: Stack, versions: Mapping[str, str | None], *,
    within_seconds: float = _REGISTRATION_SECONDS, status: Status | None = None,
) -> None:  # fmt: skip
    """Wait until the files (by key) are registered in these versions, or until what they stood for is retired.

    Raises PipelineFileError with what is wrong when a file is rejected, CommandError when it takes too long.
    """
    bucket, registry = PipelineBucket(stack.bucket), PipelineRegistry(stack.run_table)
    deadline = time.monotonic() + within_seconds
    while True:
        live = {pipeline.file: pipeline.version for pipeline in registry.list() if pipeline.settled}
        left = [key for key, version in versions.items() if live.get(key) != version]
        if not left:
            return
        for key in left:
            report = bucket.files_of(name_of(key)).reports.get(key, "")
            if versions[key] and f"version {versions[key]}" in report:
                raise PipelineFileError(report, [result(key, [Problem("", report)])])
        if time.monotonic() > deadline:
            raise CommandError(
                f"{', '.join(left)}: not registered within {within_seconds:.0f} s: look at the log of the function "
                f"register_pipeline in /aws/lambda/{stack.name}/register_pipeline and at "
                f"`{stack.command} dlq list`."
            )
        if status:
            status.update(escape(f"Wait for {', '.join(left)}"))
        time.sleep(_SECONDS_BETWEEN_LOOKS)
