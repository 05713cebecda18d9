"""A simulated EMR Serverless: applications and job runs change their state as time passes, and say so in events."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from emr_pipelines.clock import iso_time
from emr_pipelines.errors import RequestRefusedError, ResourceMissingError, TransientError
from emr_pipelines.gateways.emr_serverless import EmrServerless, ObservedApplication
from emr_pipelines.gateways.job_service import ObservedJobRun
from emr_pipelines.job_state import is_final

from tests.unit.conftest import example_event
from tests.unit.simulation.happenings import Happenings, Timer

_HALF_AN_HOUR = 1800.0
_EXAMPLES = {
    name: example_event(f"handle_state_change.{name}")
    for name in ("application_started", "job_run_succeeded", "job_resource_utilization")
}


@dataclass(frozen=True)
class Behaviour:
    """What a job run does when nobody interferes. One that takes no `seconds` never ends."""

    outcome: str = "SUCCESS"
    seconds: float | None = 60.0
    is_refused: bool = False


@dataclass
class SimulatedJobRun:
    """A job run; `states` has every state with the time at which it began."""

    job_run_id: str
    application_id: str
    request: dict[str, Any]
    behaviour: Behaviour
    states: list[tuple[float, str]] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)

    @property
    def state(self) -> str:
        return self.states[-1][1]

    @property
    def run_id(self) -> str:
        run_id: str = self.request["tags"]["emr-pipelines:run"]
        return run_id

    @property
    def job(self) -> str:
        job: str = self.request["name"]
        return job

    @property
    def started(self) -> float:
        return self.states[0][0]

    @property
    def ended(self) -> float | None:
        return self.states[-1][0] if is_final(self.state) else None

    @property
    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = self.request["tags"]
        return tags

    @property
    def course(self) -> list[tuple[str, float]]:
        """The states after the first one, and how long each of those before them lasts."""
        return [("SUBMITTED", 0.0), ("PENDING", 1.0), ("SCHEDULED", 2.0), ("RUNNING", 5.0)]

    def event(self, updated_at: str) -> dict[str, Any]:
        """Return what EMR says of its state."""
        return _event("job_run_succeeded", {**self.ids, "state": self.state, "updatedAt": updated_at})

    def sign_of_life(self) -> dict[str, Any] | None:
        """Return what EMR says of it every half hour, if it says anything."""
        return _event("job_resource_utilization", self.ids)

    @property
    def ids(self) -> dict[str, str]:
        return {"applicationId": self.application_id, "jobRunId": self.job_run_id}


def _event(example: str, detail: dict[str, Any]) -> dict[str, Any]:
    event = _EXAMPLES[example]
    return {**event, "detail": {**event["detail"], **detail}}


@dataclass
class SimulatedApplication:
    """An application."""

    application_id: str
    request: dict[str, Any]
    created: float
    state: str = "CREATING"


class SimulatedEmrServerless(EmrServerless):
    """`behave` says by run and job what a job run will do; `publish` takes the events.

    StartJobRun is throttled to `burst` at once, and one more each second.
    """

    def __init__(
        self,
        happenings: Happenings,
        publish: Callable[[dict[str, Any]], None],
        behave: Callable[[str, str], Behaviour],
        burst: int,
    ) -> None:
        self.applications: dict[str, SimulatedApplication] = {}
        self.job_runs: dict[str, SimulatedJobRun] = {}
        self._happenings = happenings
        self._publish = publish
        self.behave = behave
        self.starts = "soon"  # how applications do; or "slow", or they are "refused"
        self._tokens: dict[str, str] = {}
        self._burst = burst
        self._allowance = (float(burst), 0.0)

    # Applications

    def take_away(self, state: str) -> None:
        """Let somebody cancel all job runs, and stop or delete all applications."""
        for job_run in self.job_runs.values():
            if job_run.ended is None:
                for timer in job_run.timers:
                    timer.cancel()
                self._become(job_run, "CANCELLED")
        for application_id, application in self.applications.items():
            if application.state != "TERMINATED":
                self._change(application_id, state)

    def create_application(self, request: dict[str, Any], client_token: str) -> str:
        if self.starts == "refused":
            raise RequestRefusedError("CreateApplication", "ValidationException", "No such release.")
        if client_token not in self._tokens:
            application_id = self._tokens[client_token] = f"app{len(self.applications) + 1}"
            self.applications[application_id] = SimulatedApplication(application_id, request, self._happenings.seconds)
            self._change_later(application_id, 2, "CREATING", "CREATED")
        return self._tokens[client_token]

    def get_application(self, application_id: str) -> ObservedApplication:
        if application_id not in self.applications:
            raise ResourceMissingError("GetApplication", "ResourceNotFoundException", application_id)
        application = self.applications[application_id]
        created_at = self._time(application.created)
        return ObservedApplication(application_id, application.state, "", application.request["tags"], created_at)

    def list_applications(self) -> list[str]:
        return [name for name, application in self.applications.items() if application.state != "TERMINATED"]

    def update_application(self, application_id: str, request: dict[str, Any], client_token: str) -> None:
        self._require("UpdateApplication", application_id, {"CREATED", "STOPPED"})
        self.applications[application_id].request = request

    def start_application(self, application_id: str) -> None:
        self._require("StartApplication", application_id, {"CREATED", "STOPPED", "STARTING", "STARTED"})
        if self.applications[application_id].state in {"CREATED", "STOPPED"}:
            self._change(application_id, "STARTING")
            self._change_later(application_id, 30 if self.starts == "soon" else 86_400, "STARTING", "STARTED")

    def stop_application(self, application_id: str) -> None:
        self._require("StopApplication", application_id, {"STARTED", "STOPPING", "STOPPED"})
        if any(run.application_id == application_id and run.ended is None for run in self.job_runs.values()):
            raise RequestRefusedError("StopApplication", "ValidationException", "It has job runs.")
        if self.applications[application_id].state == "STARTED":
            self._change(application_id, "STOPPING")
            self._change_later(application_id, 10, "STOPPING", "STOPPED")

    def delete_application(self, application_id: str) -> None:
        self._require("DeleteApplication", application_id, {"CREATED", "STOPPED"})
        self._change(application_id, "TERMINATED")

    def _require(self, operation: str, application_id: str, states: set[str]) -> None:
        state = self.get_application(application_id).state
        if state not in states:
            raise RequestRefusedError(operation, "ValidationException", f"The application is {state}.")

    def _change_later(self, application_id: str, seconds: float, old: str, new: str) -> None:
        def change() -> None:
            if self.applications[application_id].state == old:
                self._change(application_id, new)

        self._happenings.after(self._about(seconds), change)

    def _change(self, application_id: str, state: str) -> None:
        self.applications[application_id].state = state
        detail = {"applicationId": application_id, "state": state, "updatedAt": iso_time(self._happenings.now)}
        self._publish(_event("application_started", detail))

    # Job runs

    def start_job_run(
        self, application_id: str, request: dict[str, Any], client_token: str, _since: str | None = None
    ) -> str:
        if client_token not in self._tokens:
            self.throttle()
            self._require("StartJobRun", application_id, {"CREATED", "STARTING", "STARTED", "STOPPED"})
            job_run = SimulatedJobRun(f"run{len(self.job_runs) + 1}", application_id, request, Behaviour())
            self.begin(job_run)
            self._tokens[client_token] = job_run.job_run_id
        return self._tokens[client_token]

    def begin(self, job_run: SimulatedJobRun) -> None:
        """Let a job run take its course, unless it is refused."""
        job_run.behaviour = self.behave(job_run.run_id, job_run.job)
        if job_run.behaviour.is_refused:
            raise RequestRefusedError("StartJobRun", "ValidationException", "The entry point is no good.")
        self.job_runs[job_run.job_run_id] = job_run
        (first, _), *course = job_run.course
        self._become(job_run, first)
        if job_run.behaviour.seconds is not None:
            course.append((job_run.behaviour.outcome, job_run.behaviour.seconds))
        self._continue(job_run, course)

    def get_job_run(self, application_id: str, job_run_id: str, attempt: int | None = None) -> ObservedJobRun:
        job_run = self._job_run("GetJobRun", job_run_id)
        since, state = job_run.states[-1]
        return ObservedJobRun(
            job_run_id=job_run_id,
            application_id=application_id,
            state=state,
            observed_at=self._time(since),
            state_details=f"It is {state}.",
            attempts=1,
            tags=job_run.tags,
            created_at=self._time(job_run.started),
        )

    def list_open_job_runs(self, application_id: str) -> list[str]:
        of_application = [job_run for job_run in self.job_runs.values() if job_run.application_id == application_id]
        return [job_run.job_run_id for job_run in of_application if job_run.ended is None]

    def find_job_run(self, application_id: str, request: dict[str, Any], since: str) -> str | None:
        for job_run_id, job_run in self.job_runs.items():
            is_same = job_run.tags == request["tags"] and job_run.application_id == application_id
            if is_same and self._time(job_run.started) >= since:
                return job_run_id
        return None

    def cancel_job_run(self, application_id: str, job_run_id: str) -> None:
        job_run = self._job_run("CancelJobRun", job_run_id)
        if job_run.ended is not None:
            raise RequestRefusedError("CancelJobRun", "ValidationException", f"The job run is {job_run.state}.")
        if job_run.state != "CANCELLING":
            self.interrupt(job_run, "CANCELLING")
            self._continue(job_run, [("CANCELLED", 3.0)])

    def interrupt(self, job_run: SimulatedJobRun, state: str) -> None:
        """Let a job run have a state that is not on its course."""
        for timer in job_run.timers:
            timer.cancel()
        self._become(job_run, state)

    def _job_run(self, operation: str, job_run_id: str) -> SimulatedJobRun:
        if job_run_id not in self.job_runs:
            raise ResourceMissingError(operation, "ResourceNotFoundException", job_run_id)
        return self.job_runs[job_run_id]

    def _continue(self, job_run: SimulatedJobRun, course: list[tuple[str, float]]) -> None:
        if not course:
            return
        (state, seconds), *rest = course

        def change() -> None:
            self._become(job_run, state)
            self._continue(job_run, rest)

        job_run.timers.append(self._happenings.after(self._about(seconds), change))

    def _become(self, job_run: SimulatedJobRun, state: str) -> None:
        # EMR's times have microseconds: two states never have the same.
        now = (
            max(self._happenings.seconds, job_run.states[-1][0] + 1e-6) if job_run.states else self._happenings.seconds
        )
        job_run.states.append((now, state))
        self._publish(job_run.event(self._time(now)))
        if is_final(state):
            for timer in job_run.timers:
                timer.cancel()
        if state == "RUNNING":
            self._show_sign_of_life(job_run)

    def _show_sign_of_life(self, job_run: SimulatedJobRun) -> None:
        event = job_run.sign_of_life()
        if event is None:
            return

        def show() -> None:
            self._publish(event)
            self._show_sign_of_life(job_run)

        job_run.timers.append(self._happenings.after(_HALF_AN_HOUR, show))

    def throttle(self) -> None:
        """Refuse what comes too soon after much else."""
        tokens, then = self._allowance
        tokens = min(self._burst, tokens + self._happenings.seconds - then)
        self._allowance = (tokens - 1 if tokens >= 1 else tokens), self._happenings.seconds
        if tokens < 1:
            raise TransientError("StartJobRun: ThrottlingException: Rate exceeded")

    def _about(self, seconds: float) -> float:
        return seconds * self._happenings.random.uniform(0.5, 1.5)

    def _time(self, seconds: float) -> str:
        return iso_time(self._happenings.at(seconds))
