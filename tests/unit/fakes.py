"""Stand-ins for AWS that remember what they were asked, and fail when they are told to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emr_pipelines.domain_event import DomainEvent
from emr_pipelines.errors import RequestRefusedError, ResourceMissingError
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_serverless import EmrServerless, ObservedApplication
from emr_pipelines.gateways.job_service import ObservedJobRun
from emr_pipelines.gateways.notification_topic import NotificationTopic
from emr_pipelines.gateways.step_functions import ObservedExecution, StepFunctions
from emr_pipelines.job_state import is_final


@dataclass
class FakeEmrServerless(EmrServerless):
    """Applications and job runs whose states the test sets; each request can be made to fail once or for good."""

    applications: dict[str, str] = field(default_factory=dict)
    job_runs: dict[str, ObservedJobRun] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    submitted: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    created_at: str = "2026-11-21T12:00:00.000000Z"

    def create_application(self, request: Mapping[str, Any], client_token: str) -> str:
        self._note("create_application", request)
        if client_token not in self.tokens:
            self.tokens[client_token] = f"app{len(self.applications) + 1}"
            self.applications[self.tokens[client_token]] = "CREATED"
        return self.tokens[client_token]

    def get_application(self, application_id: str) -> ObservedApplication:
        self._note("get_application", application_id)
        if application_id not in self.applications:
            raise ResourceMissingError("GetApplication", "ResourceNotFoundException", application_id)
        tags = self.tags.get(application_id, {})
        return ObservedApplication(application_id, self.applications[application_id], "", tags, self.created_at)

    def list_applications(self) -> list[str]:
        self._note("list_applications", None)
        return [application_id for application_id, state in self.applications.items() if state != "TERMINATED"]

    def list_open_job_runs(self, application_id: str) -> list[str]:
        self._note("list_open_job_runs", application_id)
        return [
            job_run_id
            for job_run_id, job_run in self.job_runs.items()
            if job_run.application_id == application_id and not is_final(job_run.state)
        ]

    def update_application(self, application_id: str, request: Mapping[str, Any], client_token: str) -> None:
        self._note("update_application", request)

    def start_application(self, application_id: str) -> None:
        self._note("start_application", application_id)
        self.applications[application_id] = "STARTING"

    def stop_application(self, application_id: str) -> None:
        self._note("stop_application", application_id)
        if any(not is_final(job_run.state) for job_run in self.job_runs.values()):
            raise RequestRefusedError("StopApplication", "ValidationException", "job runs are active")
        self.applications[application_id] = "STOPPING"

    def delete_application(self, application_id: str) -> None:
        self._note("delete_application", application_id)
        self.applications[application_id] = "TERMINATED"

    def start_job_run(
        self, application_id: str, request: Mapping[str, Any], client_token: str, _since: str | None = None
    ) -> str:
        self._note("start_job_run", request)
        if client_token not in self.tokens:
            job_run_id = f"run{len(self.job_runs) + 1}"
            self.tokens[client_token] = job_run_id
            self.submitted[client_token] = request
            self.set_job_run(job_run_id, "SUBMITTED", application_id=application_id)
        return self.tokens[client_token]

    def get_job_run(self, application_id: str, job_run_id: str, attempt: int | None = None) -> ObservedJobRun:
        self._note("get_job_run", job_run_id)
        if job_run_id not in self.job_runs:
            raise ResourceMissingError("GetJobRun", "ResourceNotFoundException", job_run_id)
        return replace(self.job_runs[job_run_id], tags=self.tags.get(job_run_id, {}), created_at=self.created_at)

    def find_job_run(self, application_id: str, request: Mapping[str, Any], since: str) -> str | None:
        self._note("find_job_run", request)
        tags = request["tags"]
        found = [self.tokens[token] for token, other in self.submitted.items() if other["tags"] == tags]
        return found[0] if found else None

    def cancel_job_run(self, application_id: str, job_run_id: str) -> None:
        self._note("cancel_job_run", job_run_id)
        if job_run_id in self.job_runs and is_final(self.job_runs[job_run_id].state):
            raise RequestRefusedError("CancelJobRun", "ValidationException", "The job run has ended.")

    def set_job_run(
        self, job_run_id: str, state: str, *, second: int = 0, details: str | None = None, application_id: str = "app1"
    ) -> ObservedJobRun:
        """Let a job run have a state since `second` seconds after noon."""
        at = f"2026-11-21T12:00:{second:02d}.000000Z"
        self.job_runs[job_run_id] = ObservedJobRun(job_run_id, application_id, state, at, details, 1)
        return self.job_runs[job_run_id]

    def asked(self, operation: str) -> list[Any]:
        """Return what an operation was called with."""
        return [argument for name, argument in self.requests if name == operation]

    def _note(self, operation: str, argument: object) -> None:
        self.requests.append((operation, argument))
        if operation in self.failures:
            raise self.failures[operation]


@dataclass
class FakeStepFunctions(StepFunctions):
    """Remembers executions and the answers to task tokens."""

    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: dict[str, ObservedExecution] = field(default_factory=dict)
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    heartbeats: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    failure: Exception | None = None

    def start_execution(self, state_machine_arn: str, name: str, run_input: dict[str, Any]) -> bool:
        if self.failure:
            raise self.failure
        is_new = name not in self.executions
        self.executions.setdefault(name, run_input)
        return is_new

    def describe_execution(self, execution_arn: str) -> ObservedExecution | None:
        name = execution_arn.rpartition(":")[2]
        if name in self.executions and name not in self.ended:
            return ObservedExecution("RUNNING", "2026-11-21T12:00:00.000000Z", None, self.executions[name])
        return self.ended.get(name)

    def list_executions(self, state_machine_arn: str, status: str, since: str | None = None) -> set[str]:
        if status == "RUNNING":
            return self.executions.keys() - self.ended.keys()
        return {
            name
            for name, execution in self.ended.items()
            if execution.status == status and (since is None or execution.started_at >= since)
        }

    def stop_execution(self, execution_arn: str, error: str, cause: str) -> None:
        self.stopped.append(execution_arn)

    def send_success(self, task_token: str, output: Mapping[str, Any]) -> None:
        self._remember(task_token, "success", str(output))

    def send_failure(self, task_token: str, error: type[Exception], cause: str) -> None:
        self._remember(task_token, error.__name__, cause)

    def send_heartbeat(self, task_token: str) -> None:
        self.heartbeats.append(task_token)

    def _remember(self, task_token: str, kind: str, text: str) -> None:
        if self.failure:
            raise self.failure
        self.answers.append((task_token, kind, text))

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Token and outcome of every answer."""
        return [(token, kind) for token, kind, _ in self.answers]


@dataclass
class FakeDomainEvents(DomainEvents):
    """Remembers what was published."""

    published: list[DomainEvent] = field(default_factory=list)
    failure: Exception | None = None

    def publish(self, event: DomainEvent) -> None:
        if self.failure:
            raise self.failure
        self.published.append(event)

    @property
    def types(self) -> list[str]:
        """The detail types in the order of publication."""
        return [event.detail_type for event in self.published]


@dataclass
class FakeTopic(NotificationTopic):
    """Remembers the notifications."""

    sent: list[tuple[str, str, Mapping[str, str | list[str]]]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    topics: list[str | None] = field(default_factory=list)
    failures: dict[str | None, Exception] = field(default_factory=dict)

    def publish(
        self,
        subject: str,
        body: str,
        document: str,
        attributes: Mapping[str, str | list[str]],
        topic: str | None = None,
    ) -> None:
        if topic in self.failures:
            raise self.failures[topic]
        self.sent.append((subject, body, attributes))
        self.documents.append(json.loads(document))
        self.topics.append(topic)
