"""Step Functions' optimised integration: `arn:aws:states:::emr-serverless:<api>`, request-response and `.sync`.

A `.sync` task waits for the events of its resource. When the execution stops waiting (it was stopped, or the
task ran into its timeout), what the task started is ended too.
"""

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from threading import Event, Lock
from typing import Any

from ministack.services import stepfunctions

from emrp.local.emr_serverless import protocol
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.in_process import InProcessClient, UnknownMember, from_api, to_api
from emrp.local.patches.stepfunctions_execution import ExecutionEnded, wait_for

PREFIX = "arn:aws:states:::emr-serverless:"
Members = dict[str, Any]


@dataclass(frozen=True)
class _Api:
    operation: str
    wanted: str  # the state for which .sync waits
    undo: str | None = None  # what ends it when nobody waits any more
    of_job_run: bool = False


_APIS = {
    "createApplication": _Api("CreateApplication", "CREATED", "DeleteApplication"),
    "startApplication": _Api("StartApplication", "STARTED", "StopApplication"),
    "stopApplication": _Api("StopApplication", "STOPPED"),
    "deleteApplication": _Api("DeleteApplication", "TERMINATED"),
    "startJobRun": _Api("StartJobRun", "SUCCESS", "CancelJobRun", of_job_run=True),
    "cancelJobRun": _Api("CancelJobRun", "CANCELLED", of_job_run=True),
}
_ENDS = {"SUCCESS", "FAILED", "CANCELLED", "TERMINATED"}


class Watchers:
    """The threads that wait for a resource to change."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Event]] = defaultdict(set)
        self._lock = Lock()

    def changed(self, arn: str) -> None:
        """Wake those who wait for a resource."""
        with self._lock:
            for changed in self._waiting.get(arn, ()):
                changed.set()

    def wake_all(self) -> None:
        """Wake everybody."""
        for arn in list(self._waiting):
            self.changed(arn)

    @contextlib.contextmanager
    def watching(self, arn: str) -> Iterator[Event]:
        """Have an event that is set whenever a resource has changed."""
        changed = Event()
        with self._lock:
            self._waiting[arn].add(changed)
        try:
            yield changed
        finally:
            with self._lock:
                self._waiting[arn].discard(changed)
                if not self._waiting[arn]:
                    del self._waiting[arn]


def install(client: InProcessClient, watchers: Watchers) -> None:
    """Make Task states with these resources work."""
    stepfunctions._SERVICE_DISPATCH[PREFIX] = partial(_run_task, client, watchers)


def _run_task(client: InProcessClient, watchers: Watchers, resource: str, arguments: Members) -> Members:
    name, _, pattern = resource.removeprefix(PREFIX).partition(".")
    api = _APIS.get(name)
    if api is None or pattern not in {"", "sync"}:
        raise _error("States.Runtime", f"The resource {resource} is not supported by Step Functions.")
    try:
        parameters = to_api(arguments, protocol.input_shape(api.operation))
        answer = client.call(api.operation, parameters)
    except UnknownMember as error:
        raise _error("States.Runtime", f"The field {error} is not supported by Step Functions.") from error
    except ApiError as error:
        raise _error(f"EMRServerless.{error.code}", str(error)) from error
    task = _Task(client, api, parameters | answer)
    if pattern == "sync":
        with watchers.watching(task.arn()) as changed:
            return task.wait(changed)
    return task.result()


class _Task:
    """A task whose operation has been performed."""

    def __init__(self, client: InProcessClient, api: _Api, members: Members) -> None:
        self._client = client
        self._api = api
        self._members = members
        kind = "GetJobRun" if api.of_job_run else "GetApplication"
        names = ("applicationId", "jobRunId") if api.of_job_run else ("applicationId",)
        self._look = partial(client.look, kind, {name: members[name] for name in names})

    def arn(self) -> str:
        return str(self._description()["arn"])

    def result(self) -> Members:
        """Return the operation's answer, with the application's id where the API has none."""
        shape = protocol.output_shape(self._api.operation)
        result: Members = from_api(self._members, shape)
        return result or {"ApplicationId": self._members["applicationId"]}

    def wait(self, changed: Event) -> Members:
        """Wait for the state that the task is for; the result of a job run is its description."""
        while (description := self._description())["state"] != self._api.wanted:
            if description["state"] in _ENDS:
                raise _error("States.TaskFailed", json.dumps(self._described(description)))
            try:
                wait_for(changed)
            except (ExecutionEnded, stepfunctions._ExecutionError):
                self._undo()
                raise
            changed.clear()
        return self._described(description) if self._api.of_job_run else self.result()

    def _undo(self) -> None:
        if self._api.undo:
            shape = protocol.input_shape(self._api.undo)
            known = {name: value for name, value in self._members.items() if name in shape.required_members}
            with contextlib.suppress(ApiError):  # it has ended by itself
                self._client.call(self._api.undo, known)

    def _description(self) -> Members:
        (description,) = self._look().values()
        found: Members = description
        return found

    def _described(self, description: Members) -> Members:
        operation = "GetJobRun" if self._api.of_job_run else "GetApplication"
        (shape,) = protocol.output_shape(operation).members.values()
        described: Members = from_api(description, shape)
        return described


def _error(error: str, cause: str) -> Exception:
    failure: Exception = stepfunctions._ExecutionError(error, cause)
    return failure
