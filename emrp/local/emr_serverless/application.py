"""An application: its configuration and the states it goes through.

Knows nothing of HTTP, tasks or drivers; `lifecycle` moves applications and publishes each move.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from emrp.local.emr_serverless.clock import now
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.worker_sizes import check_initial_capacity


class ApplicationState(StrEnum):
    """The states of an application, as the service names them."""

    CREATING = "CREATING"
    CREATED = "CREATED"
    STARTING = "STARTING"
    STARTED = "STARTED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    TERMINATED = "TERMINATED"


_S = ApplicationState
_NEXT: dict[ApplicationState, frozenset[ApplicationState]] = {
    _S.CREATING: frozenset({_S.CREATED}),
    _S.CREATED: frozenset({_S.STARTING, _S.TERMINATED}),
    _S.STARTING: frozenset({_S.STARTED, _S.STOPPING}),
    _S.STARTED: frozenset({_S.STOPPING}),
    _S.STOPPING: frozenset({_S.STOPPED}),
    _S.STOPPED: frozenset({_S.STARTING, _S.TERMINATED}),
    _S.TERMINATED: frozenset(),
}
DORMANT = frozenset({_S.CREATED, _S.STOPPED})  # nothing of it is running: it may be updated or deleted

DEFAULT_CONCURRENT_RUNS = 15
DEFAULT_QUEUE_TIMEOUT_MINUTES = 360
_ENGINES = {"SPARK": "Spark", "HIVE": "Hive"}
_RELEASE = re.compile(r"emr-(\d+)\.(\d+)\.\d+(-\d{8}|-latest)?")
_FIRST_RELEASE = (6, 6)
_QUEUEING_POSSIBLE_FROM = (7, 0)
_QUEUEING_DEFAULT_FROM = (7, 3)


@dataclass(eq=False)
class Application:
    """An application with the members of CreateApplication as its configuration."""

    id: str
    account_id: str
    region: str
    configuration: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    state: ApplicationState = ApplicationState.CREATING
    state_details: str = ""
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    @property
    def arn(self) -> str:
        """Its name across AWS."""
        return f"arn:aws:emr-serverless:{self.region}:{self.account_id}:/applications/{self.id}"

    @property
    def engine(self) -> str:
        """SPARK or HIVE."""
        engine: str = self.configuration["type"]
        return engine

    @property
    def auto_start(self) -> bool:
        """Whether submitting a job run starts the application."""
        return bool(self.configuration["autoStartConfiguration"]["enabled"])

    @property
    def auto_stop_minutes(self) -> int | None:
        """How long the application may be idle before it stops by itself; None for ever."""
        auto_stop = self.configuration["autoStopConfiguration"]
        return auto_stop["idleTimeoutMinutes"] if auto_stop["enabled"] else None

    @property
    def initial_drivers(self) -> dict[str, Any] | None:
        """The initial capacity of drivers; None when there is none."""
        for name, capacity in self.configuration.get("initialCapacity", {}).items():
            if name.upper().endswith("DRIVER"):
                found: dict[str, Any] = capacity
                return found
        return None

    @property
    def max_concurrent_runs(self) -> int | None:
        """How many job runs may run at a time; None when the application does not queue."""
        scheduler = self.configuration.get("schedulerConfiguration")
        return scheduler["maxConcurrentRuns"] if scheduler else None

    @property
    def queue_timeout_minutes(self) -> int:
        """How long a job run may be QUEUED."""
        scheduler = self.configuration.get("schedulerConfiguration") or {}
        return int(scheduler.get("queueTimeoutMinutes", DEFAULT_QUEUE_TIMEOUT_MINUTES))

    def move_to(self, state: ApplicationState, details: str = "") -> None:
        """Enter a state that may follow the present one."""
        if state not in _NEXT[self.state]:
            raise ValueError(f"An application cannot go from {self.state} to {state}.")
        self.state = state
        self.state_details = details
        self.updated_at = now()

    def settle_after_restart(self) -> None:
        """Leave a state in which only a server that has ended could have moved the application on."""
        self.state = {
            _S.CREATING: _S.CREATED,
            _S.STARTING: _S.STOPPED,
            _S.STOPPING: _S.STOPPED,
        }.get(self.state, self.state)

    def update(self, configuration: dict[str, Any]) -> None:
        """Take another configuration."""
        self.configuration = configuration
        self.updated_at = now()

    def summary(self) -> dict[str, Any]:
        """Return the members of ApplicationSummary."""
        return {
            "id": self.id,
            "name": self.configuration.get("name"),
            "arn": self.arn,
            "releaseLabel": self.configuration["releaseLabel"],
            "type": _ENGINES[self.engine],
            "state": self.state,
            "stateDetails": self.state_details or None,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "architecture": self.configuration["architecture"],
        }

    def description(self) -> dict[str, Any]:
        """Return the members of Application, as GetApplication answers it."""
        return {**self.configuration, **self.summary(), "applicationId": self.id, "tags": self.tags}


def with_defaults(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return an application's configuration as the service completes it, or refuse it."""
    engine = configuration["type"].upper()
    if engine not in _ENGINES:
        raise ApiError("ValidationException", f"Unsupported engine {configuration['type']}")
    release = _release(configuration["releaseLabel"])
    if release is None or release < _FIRST_RELEASE:
        raise ApiError(
            "ValidationException",
            f"Type '{engine}' is not supported for release label '{configuration['releaseLabel']}' "
            "or release label does not exist",
        )
    check_initial_capacity(configuration.get("initialCapacity", {}))
    completed = {
        **configuration,
        "type": engine,
        "architecture": configuration.get("architecture", "X86_64"),
        "autoStartConfiguration": {"enabled": True} | configuration.get("autoStartConfiguration", {}),
        "autoStopConfiguration": {"enabled": True, "idleTimeoutMinutes": 15}
        | configuration.get("autoStopConfiguration", {}),
    }
    if scheduler := _scheduler_configuration(configuration, release):
        completed["schedulerConfiguration"] = scheduler
    return completed


def _scheduler_configuration(configuration: dict[str, Any], release: tuple[int, int]) -> dict[str, int] | None:
    given = configuration.get("schedulerConfiguration")
    if given is None and release < _QUEUEING_DEFAULT_FROM:
        return None
    if given is not None and release < _QUEUEING_POSSIBLE_FROM:
        raise ApiError(
            "ValidationException", "SchedulerConfiguration is supported with release labels emr-7.0.0 and above."
        )
    scheduler: dict[str, int] = {
        "maxConcurrentRuns": DEFAULT_CONCURRENT_RUNS,
        "queueTimeoutMinutes": DEFAULT_QUEUE_TIMEOUT_MINUTES,
    } | (given or {})
    for name, lowest, highest in (("maxConcurrentRuns", 1, 1000), ("queueTimeoutMinutes", 15, 720)):
        if not lowest <= scheduler[name] <= highest:
            raise ApiError("ValidationException", f"{name} must be between {lowest} and {highest}.")
    return scheduler


def release_at_least(release_label: str, major: int, minor: int) -> bool:
    """Say whether a release label is that release or a later one."""
    return (_release(release_label) or _FIRST_RELEASE) >= (major, minor)


def _release(label: str) -> tuple[int, int] | None:
    match = _RELEASE.fullmatch(label)
    return (int(match[1]), int(match[2])) if match else None
