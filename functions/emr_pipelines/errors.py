"""The errors that the state machines know by name: `ErrorEquals` matches these class names."""

from collections.abc import Sequence
from dataclasses import dataclass


class EmrPipelinesError(Exception):
    """Root of the tree; anything else that escapes a handler is a bug."""


class TransientError(EmrPipelinesError):
    """AWS throttled, failed on its side or has no capacity: the same call may work later, so it is retried."""


class RequestRefusedError(EmrPipelinesError):
    """AWS refused the request for a reason that a retry cannot change."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"{operation} was refused ({code}): {message}")
        self.code = code


class ResourceMissingError(RequestRefusedError):
    """The AWS resource that the request names does not exist (any more)."""


class ApplicationUnavailableError(EmrPipelinesError):
    """The application of a run cannot become ready."""


class ClusterUnavailableError(EmrPipelinesError):
    """The cluster of a run cannot become ready: it is refused, or it has failed on the way or been terminated."""


class ApplicationsLeftError(EmrPipelinesError):
    """Applications or clusters of a stack that is being deleted do not stop in time."""

    def __init__(self, left: Sequence[str]) -> None:
        super().__init__(f"These do not stop: {', '.join(left)}. Delete the stack once more.")


class JobFailedError(EmrPipelinesError):
    """A job run ended FAILED; sent with SendTaskFailure, as is `JobCancelledError`."""


class JobCancelledError(EmrPipelinesError):
    """A job run ended CANCELLED."""


class JobSkippedError(EmrPipelinesError):
    """A job does not run, because of how its upstream jobs have ended."""


class UpstreamPendingError(EmrPipelinesError):
    """A job cannot be submitted yet: "Wait For Upstream" comes first."""


class JobNotSubmittedError(EmrPipelinesError):
    """The submission of a job took longer than the heartbeat: "Add Job Run" comes again."""


class RunQueuedError(EmrPipelinesError):
    """As many runs of the pipeline as its concurrency allows are running: "Wait For Slot" comes first."""


class RunSkippedError(EmrPipelinesError):
    """As many runs of the pipeline as its concurrency allows are running, and its policy is to skip the others."""


class RunCancelledError(EmrPipelinesError):
    """The execution of a run was stopped."""


class RunTimedOutError(EmrPipelinesError):
    """The execution of a run took longer than its state machine allows."""


class RunLostError(EmrPipelinesError):
    """The execution of a run that had not ended does not exist any more."""


class PipelineNotFoundError(EmrPipelinesError):
    """No pipeline file has the requested name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        listing = ", ".join(sorted(known)) or "none yet: upload pipelines/<name>.yaml"
        super().__init__(f'There is no pipeline "{name}". Registered pipelines: {listing}.')


class RepairRefusedError(EmrPipelinesError):
    """A run cannot be repaired."""


class InvalidRunInputError(EmrPipelinesError):
    """The input of an execution has a field that is not what it must be."""

    def __init__(self, field: str, value: object) -> None:
        example = '{"pipeline": "salaries", "parameters": {"top": 5}}'
        super().__init__(f'"{field}" must be a mapping, not {value!r}. An execution takes input like {example}.')


class OutputUnavailableError(EmrPipelinesError):
    """A template reads an output that a job has not left."""

    def __init__(self, job: str, uri: str, problem: str) -> None:
        super().__init__(f"The output of job {job} cannot be read: {uri} {problem}.")


class InvalidTriggerError(EmrPipelinesError):
    """A message on the trigger queue can never start a run; `source` says what kind of message it is."""

    def __init__(self, reason: str, source: str = "unknown", pipeline: str = "") -> None:
        super().__init__(reason)
        self.source = source
        self.pipeline = pipeline


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a pipeline file."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class InvalidPipelineError(EmrPipelinesError):
    """A pipeline file has problems; all of them are reported together."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{file} has {count}:", *(f"- {problem}" for problem in problems)]))
        self.file = file
        self.problems = tuple(problems)
