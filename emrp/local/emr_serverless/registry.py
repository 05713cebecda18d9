"""Every application of the service, and how a request finds what it names."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from ministack.core.responses import AccountRegionScopedDict

from emrp.local.emr_serverless.application import Application
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.execution import Surroundings
from emrp.local.emr_serverless.job_run import JobRun
from emrp.local.emr_serverless.lifecycle import LiveApplication, State

_ARN = re.compile(
    r"arn:[\w-]+:emr-serverless:[^:]*:\d{12}:/applications/(?P<application>\w+)(/jobruns/(?P<job_run>\w+))?"
)


class Registry:
    """The applications, by id; a request sees those of its account and region."""

    def __init__(self) -> None:
        self._applications = AccountRegionScopedDict()
        self._requests = AccountRegionScopedDict()  # what a client token stood for, and what it made

    def add(self, live: LiveApplication) -> None:
        """Add a new application."""
        self._applications[live.application.id] = live

    def applications(self) -> Iterable[LiveApplication]:
        """Return the applications of the request's account and region."""
        applications: list[LiveApplication] = self._applications.values()
        return applications

    def everywhere(self) -> Iterable[LiveApplication]:
        """Return all applications."""
        applications: dict[object, LiveApplication] = self._applications.to_dict()
        return applications.values()

    def find(self, application_id: str) -> LiveApplication:
        """Return an application, or say that there is none."""
        live: LiveApplication | None = self._applications.get(application_id)
        if live is None:
            raise ApiError("ResourceNotFoundException", f"Application {application_id} does not exist")
        return live

    def find_job_run(self, application_id: str, job_run_id: str) -> JobRun:
        """Return a job run, or say that there is none."""
        job_run = self.find(application_id).job_runs.get(job_run_id)
        if job_run is None:
            raise ApiError("ResourceNotFoundException", f"JobRun {job_run_id} does not exist")
        return job_run

    def find_tagged(self, arn: str) -> Application | JobRun:
        """Return what an ARN names: both have tags."""
        match = _ARN.fullmatch(arn)
        if match is None:
            raise ApiError("ValidationException", f"{arn} is not the ARN of an application or a job run.")
        if match["job_run"]:
            return self.find_job_run(match["application"], match["job_run"])
        return self.find(match["application"]).application

    def once(self, operation: str, parameters: dict[str, Any], make: Callable[[], str]) -> str:
        """Return the id that `make` makes, or made when the same request was first sent."""
        key = (operation, parameters.get("applicationId"), parameters["clientToken"])
        known = self._requests.get(key)
        if known is None:
            made = make()
            self._requests[key] = (parameters, made)
            return made
        first_parameters, made = known
        if first_parameters != parameters:
            raise ApiError(
                "ConflictException",
                f"The clientToken {parameters['clientToken']} was used with different parameters before.",
            )
        result: str = made
        return result

    def get_state(self) -> State:
        """Return everything as JSON, for `restore` at the next start."""
        applications: dict[object, LiveApplication] = self._applications.to_dict()
        states = {scoped: live.get_state() for scoped, live in applications.items()}
        return {"applications": AccountRegionScopedDict.from_dict(states), "requests": self._requests}

    def keep_requests_in(self, store: AccountRegionScopedDict) -> None:
        """Keep what client tokens stand for in another store."""
        self._requests = store

    def restore(self, state: State, surroundings: Surroundings) -> None:
        """Bring back what an earlier server left."""
        self._requests.update(state.get("requests", {}))
        for scoped, saved in state.get("applications", AccountRegionScopedDict()).all_items():
            self._applications.set_scoped(*scoped, LiveApplication.restored(saved, surroundings))

    def clear(self) -> None:
        """Forget everything."""
        self._applications.clear()
        self._requests.clear()
