"""A run and its jobs, as the run record keeps them."""

from dataclasses import dataclass, field
from typing import Any, Self, TypedDict

from emr_pipelines.clock import iso_time, now, seconds_between
from emr_pipelines.job_state import UNSUCCESSFUL_STATES, JobState, is_final

RUNNING, SUCCEEDED, FAILED, CANCELLED, TIMED_OUT = "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"
SKIPPED = "SKIPPED"  # a run that its pipeline's concurrency policy did not let in

STARTED, RETRIED, OVERDUE = "STARTED", "RETRIED", "OVERDUE"  # no states, but people can be told of them
# Of what people are told unless the pipeline file says something else.
NOTIFIED = (FAILED, CANCELLED, TIMED_OUT, SUCCEEDED, RETRIED, OVERDUE)

NOT_SUBMITTED = "NOT_SUBMITTED"

_OF_CLUSTERS = frozenset({"Steps", "InstanceFleet", "InstanceGroups"})  # one of these is in a job's request


class StateChange(TypedDict):
    """One line of a job's timeline."""

    state: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of the outer state machine.

    `application` is the CreateApplication request, or `cluster` the RunJobFlow request or what else tells of a cluster:
    its template, or its id; `lifecycle` is shared, transient or existing. `application_id` is the id of the
    application or cluster, and `log_uri` where the cluster writes its logs.
    A run whose pipeline file was refused has no application, no output and no jobs. `settled` says that its end
    has been published. `origin` is the run that templates see as `run.id`: the run itself, or for a repair the first
    run of the chain, so that everything stays where the earlier jobs have left it. `deadline` is when the run times
    out. `stopping` says why its jobs are being cancelled before its end. `prices` are those of the day it was launched.
    `overdue` says that it has been published that the run takes longer than `expected_minutes`.
    """

    run_id: str
    execution_arn: str
    started_at: str
    pipeline: str = ""
    state: str = RUNNING
    trigger: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    pipeline_file: str | None = None
    pipeline_version: str | None = None
    application: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    lifecycle: str | None = None
    application_id: str | None = None
    log_uri: str | None = None
    output: str | None = None
    origin: str | None = None
    repair_of: str | None = None
    repaired_by: str | None = None
    deadline: str | None = None
    fail_fast: bool = False
    concurrency: dict[str, Any] = field(default_factory=dict)
    prices: dict[str, Any] = field(default_factory=dict)
    stopping: str | None = None
    notify_on: list[str] = field(default_factory=lambda: [*NOTIFIED])
    notify_topics: list[str] = field(default_factory=list)
    expected_minutes: int | None = None
    overdue: bool = False
    ended_at: str | None = None
    error: str | None = None
    cause: str | None = None
    settled: bool = False

    @classmethod
    def begin(cls, run_id: str, execution_arn: str, run_input: object, started_at: str | None = None) -> Self:
        """Return a run with the input of its execution, which may be anything that a person typed.

        `started_at` is when the execution started; now, unless it is given.
        """
        asked = run_input if isinstance(run_input, dict) else {}
        trigger, parameters = asked.get("trigger"), asked.get("parameters")
        return cls(
            run_id=run_id,
            pipeline=str(asked.get("pipeline", "")),
            execution_arn=execution_arn,
            started_at=iso_time(started_at) if started_at else now(),
            trigger={"type": "execution", **(trigger if isinstance(trigger, dict) else {})},
            parameters=parameters if isinstance(parameters, dict) else {},
        )

    @property
    def on_cluster(self) -> bool:
        """Tell whether the jobs of the run are steps of a cluster."""
        return bool(self.cluster)

    @property
    def place(self) -> str:
        """What people call the thing on which its jobs execute."""
        return "Cluster" if self.on_cluster else "Application"

    @property
    def ended(self) -> bool:
        """Tell whether the run has its final state."""
        return self.state != RUNNING

    @property
    def is_late(self) -> bool:
        """Tell whether the run should have ended by now."""
        return self.deadline is not None and self.deadline <= now()

    @property
    def is_stopping(self) -> bool:
        """Tell whether no more jobs of the run are to be submitted."""
        return self.ended or self.stopping is not None

    @property
    def why_stopping(self) -> str:
        """Say why jobs of the run are cancelled."""
        return self.stopping or f"The run had ended: {self.state}."

    @property
    def duration_seconds(self) -> float | None:
        """How long the run took, once it has ended."""
        return seconds_between(self.started_at, self.ended_at) if self.ended_at else None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A node of a run; it becomes one EMR Serverless job run, or one step of a cluster.

    `definition` is the job's name in the pipeline file, which differs from `name` inside a forEach: there `loop` is
    the name of what is repeated (the job itself, or the group it is in), and `item` what the loop has bound, as in
    {"mode": "TRAINING"}.

    `request` is the StartJobRun request without applicationId and clientToken; on a cluster, it is AddJobFlowSteps' or
    one that resizes, and `job_run_id` is the id of the step. The texts at the paths in `deferred`
    are still templates: they need outputs of other jobs and are rendered just before the job is submitted.

    `upstream` are the jobs whose results decide by `run_if` whether this one runs; `after` only have to have ended.
    `dependents` is the opposite of both. `waiting_for` are those of `upstream` and `after` that have not ended yet.

    `observed_at` is EMR's own time of the last state, by which late events are told from new ones. `settled` says
    that the state machines have been answered, the dependents been told and the domain event published. `reused_from`
    is the run in which the job really ran, when this run is a repair.
    """

    run_id: str
    pipeline: str
    name: str
    position: int
    request: dict[str, Any]
    definition: str = ""
    loop: str | None = None
    item: dict[str, Any] = field(default_factory=dict)
    deferred: list[str] = field(default_factory=list)
    output_uri: str | None = None
    run_if: str = "ALL_SUCCESS"
    upstream: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    dependents: list[str] = field(default_factory=list)
    waiting_for: list[str] = field(default_factory=list)
    state: str = NOT_SUBMITTED
    application_id: str | None = None
    job_run_id: str | None = None
    task_token: str | None = None
    execution_arn: str | None = None
    states: list[StateChange] = field(default_factory=list)
    state_details: str | None = None
    attempts: int | None = None
    attempt_history: list[dict[str, Any]] = field(default_factory=list)
    resources: dict[str, float] = field(default_factory=dict)
    upstream_token: str | None = None
    reused_from: str | None = None
    observed_at: str | None = None
    log_uri: str | None = None
    timeout_minutes: int | None = None
    ended_at: str | None = None
    settled: bool = False

    @property
    def on_cluster(self) -> bool:
        """Tell whether the job is a step of a cluster, or resizes it."""
        return not _OF_CLUSTERS.isdisjoint(self.request)

    @property
    def ended(self) -> bool:
        """Tell whether the job has a final state."""
        return is_final(self.state)

    @property
    def unsuccessful(self) -> bool:
        """Tell whether the job has ended badly: a skipped job has not."""
        return self.state in UNSUCCESSFUL_STATES

    @property
    def succeeded(self) -> bool:
        """Tell whether the job ended well; only SUCCESS is success."""
        return self.state == JobState.SUCCESS

    @property
    def log_location(self) -> str | None:
        """Where EMR leaves the driver's logs, of the last attempt if it may be retried, once there is a job run."""
        if not self.log_uri or not self.job_run_id:
            return None
        if self.on_cluster:
            return f"{self.log_uri.rstrip('/')}/{self.application_id}/steps/{self.job_run_id}/"
        retried = (
            self.request.get("mode") == "STREAMING" or self.request.get("retryPolicy", {}).get("maxAttempts", 1) > 1
        )
        attempt = f"/attempts/{self.attempts or 1}" if retried else ""
        driver = "HIVE_DRIVER" if "hive" in self.request.get("jobDriver", {}) else "SPARK_DRIVER"
        job_run = f"applications/{self.application_id}/jobs/{self.job_run_id}"
        return f"{self.log_uri.rstrip('/')}/{job_run}{attempt}/{driver}/"

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from the first state that EMR reported to the end."""
        if not self.states or not self.ended_at:
            return None
        return seconds_between(self.states[0]["at"], self.ended_at)


def execution_arn(state_machine_arn: str, run_id: str) -> str:
    """Return the ARN of the execution that is a run."""
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"
