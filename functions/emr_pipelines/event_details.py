"""The details of the domain events, as types; events/schemas has the JSON Schemas that are made of them.

Fields may be added at any time, so readers should ignore what they do not know. `version` changes when a field gets
another meaning or goes.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic, by which the schemas are made, wants this one before Python 3.12


class _Event(TypedDict):
    version: Literal["1"]
    id: str
    """Derived from what happened: an event that comes again has the same, and so it can be told from a new one."""
    pipeline: str
    """The name of the pipeline; empty when it is not known or there is none."""


class Billed(TypedDict):
    """What AWS bills a job run for, all attempts together."""

    vCpuHours: float
    memoryGbHours: float
    storageGbHours: float


class _OfRun(_Event):
    run: str
    """The id of the run: the name of the execution of the state machine."""


class JobIds(TypedDict):
    """What EMR calls a job: all of it is null when the job was never submitted."""

    applicationId: str | None
    jobRunId: str | None
    """The EMR Serverless job run; null of a job on a cluster."""
    clusterId: str | None
    stepId: str | None
    """The step of a cluster; null of a job on an application."""


class _OfJob(_OfRun, JobIds):
    job: str
    """The name of the job in the run; an iteration of a loop has a number, as in load.3."""


class JobRunEnded(_OfJob):
    """A job of a run has ended."""

    definition: str
    """The job in the pipeline file: all iterations of a loop have the same."""
    state: Literal["SUCCESS", "FAILED", "CANCELLED", "SKIPPED"]
    reason: str | None
    """EMR's reason for the state, or ours."""
    attempts: int | None
    durationSeconds: float | None
    logUri: str | None
    """The folder of the driver's logs."""
    billed: Billed | None
    costUsd: float | None
    """What EMR Serverless bills at list prices, an estimate; null when prices or billed resources are unknown."""


class JobRunRetried(_OfJob):
    """An attempt of a job run has failed, and EMR makes another one."""

    attempt: int
    """The attempt that has failed; the next one has the number after it."""
    reason: str | None
    """EMR's reason for the failure."""


class PipelineRunStarted(_OfRun):
    """A run has been planned and is about to get its application."""

    trigger: dict[str, Any]
    """What has started the run, without the event that did."""
    chain: list[str]
    """The pipelines that led to the run by starting each other, and the run's own."""
    startedAt: str
    jobs: int
    """How many jobs the run has."""
    notifyOn: list[str]
    """What the pipeline wants people to be told of its runs, so that rules can choose."""


class PipelineRunOverdue(_OfRun):
    """A run has not ended in the time in which its pipeline expects it to."""

    startedAt: str
    expectedMinutes: int


class PipelineRunEnded(_OfRun):
    """A run has ended."""

    state: Literal["SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "SKIPPED"]
    error: str | None
    """The name of the first error."""
    reason: str | None
    trigger: dict[str, Any]
    """What has started the run, without the event that did."""
    chain: list[str]
    """The pipelines that led to the run by starting each other, and the run's own."""
    durationSeconds: float | None
    output: str | None
    """Where the results of the run are."""
    billed: Billed | None
    """All jobs together; null when none has been billed."""
    costUsd: float | None
    """EMR Serverless, Step Functions and Lambda, an estimate; null when a price is unknown or a job still runs."""


class TriggerRejected(_Event):
    """A message of the trigger queue can never start a run."""

    source: str
    """What kind of message it is."""
    reason: str
    message: str
    """How the message begins; the whole of it is kept in the queue for rejected triggers."""


class Leftover(TypedDict):
    """One thing that clean-up and events had missed."""

    kind: str
    text: str
    """The same in one sentence."""
    run_id: str
    why: str
    job: NotRequired[str]
    application_id: NotRequired[str]
    job_run_id: NotRequired[str]
    pipeline: NotRequired[str]
    stack: NotRequired[str]
    """The stack of CloudFormation that has the cluster of a run."""
    problem: NotRequired[str]
    """Why it is still there."""


class SweepCompleted(_Event):
    """A sweep has found something that clean-up and events had missed."""

    leftovers: list[Leftover]
    leftoverCount: int
    """How many there were; a long list is cut."""


class NotificationsCollected(_Event):
    """Notifications of a pipeline were held back during a burst of them, and its window has closed."""

    state: str
    """The state that the notifications are about."""


class PipelineFileChanged(_Event):
    """A pipeline file is live now, or its pipeline is retired."""

    file: str
    fileVersion: str
    """The version id of the object in S3, or its ETag."""


class FileProblem(TypedDict):
    """One thing that is wrong with a pipeline file."""

    path: str
    line: int | None
    message: str


class PipelineFileRejected(PipelineFileChanged):
    """A pipeline file was not registered: what was live before still is."""

    problems: list[FileProblem]
    problemCount: int
    """How many there were; a long list is cut."""
