"""The operations on applications."""

from typing import Any

from ministack.core.responses import get_account_id, get_region

from emrp.local.emr_serverless.application import (
    DORMANT,
    Application,
    ApplicationState,
    with_defaults,
)
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.execution import Surroundings
from emrp.local.emr_serverless.identifiers import new_id
from emrp.local.emr_serverless.lifecycle import LiveApplication
from emrp.local.emr_serverless.paging import page
from emrp.local.emr_serverless.registry import Registry
from emrp.local.emr_serverless.tags import checked_tags

Parameters = dict[str, Any]
Result = dict[str, Any]

_NOT_CONFIGURATION = frozenset({"applicationId", "clientToken", "tags"})


class ApplicationOperations:
    """Every public method is an operation."""

    def __init__(self, registry: Registry, surroundings: Surroundings) -> None:
        self._registry = registry
        self._around = surroundings

    def create_application(self, parameters: Parameters) -> Result:
        """Create an application; it becomes CREATED at once."""
        application = self._registry.find(
            self._registry.once("CreateApplication", parameters, lambda: self._create(parameters))
        ).application
        return {
            "applicationId": application.id,
            "name": application.configuration.get("name"),
            "arn": application.arn,
        }

    def _create(self, parameters: Parameters) -> str:
        application = Application(
            id=new_id(),
            account_id=get_account_id(),
            region=get_region(),
            configuration=with_defaults(_configuration(parameters)),
            tags=checked_tags(parameters.get("tags", {})),
        )
        live = LiveApplication(application, self._around)
        self._registry.add(live)
        live.create()
        return application.id

    def get_application(self, parameters: Parameters) -> Result:
        """Describe an application."""
        return {"application": self._registry.find(parameters["applicationId"]).application.description()}

    def list_applications(self, parameters: Parameters) -> Result:
        """List the applications, the newest first; TERMINATED ones only when asked for."""
        wanted = parameters.get("states") or set(ApplicationState) - {ApplicationState.TERMINATED}
        listed = [live.application for live in self._registry.applications() if live.application.state in wanted]
        listed.sort(key=lambda application: application.created_at, reverse=True)
        applications, token = page(listed, lambda application: application.id, parameters)
        return {"applications": [application.summary() for application in applications], "nextToken": token}

    def update_application(self, parameters: Parameters) -> Result:
        """Change the configuration: of a STARTED application only how many job runs it may run."""
        live = self._registry.find(parameters["applicationId"])
        application = live.application
        changes = _configuration(parameters)
        if application.state is ApplicationState.STARTED:
            _check_concurrency_only(application, changes)
        elif application.state not in DORMANT:
            raise ApiError(
                "ValidationException",
                f"Application {application.id} must be in one of the statuses to be updated: [STOPPED, CREATED]. "
                f"Current status: {application.state}",
            )
        if "schedulerConfiguration" in changes:
            present = application.configuration.get("schedulerConfiguration", {})
            changes["schedulerConfiguration"] = present | changes["schedulerConfiguration"]
        application.update(with_defaults(application.configuration | changes))
        live.configuration_changed()
        self._around.events.changed(application)
        return {"application": application.description()}

    def start_application(self, parameters: Parameters) -> Result:
        """Start an application."""
        self._registry.find(parameters["applicationId"]).start()
        return {}

    def stop_application(self, parameters: Parameters) -> Result:
        """Stop an application that has no job runs under way."""
        self._registry.find(parameters["applicationId"]).stop()
        return {}

    def delete_application(self, parameters: Parameters) -> Result:
        """Delete an application that is CREATED or STOPPED; it can still be described."""
        self._registry.find(parameters["applicationId"]).delete()
        return {}


def _configuration(parameters: Parameters) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in _NOT_CONFIGURATION}


def _check_concurrency_only(application: Application, changes: dict[str, Any]) -> None:
    present = application.configuration.get("schedulerConfiguration", {})
    changed = {name for name, value in changes.get("schedulerConfiguration", {}).items() if value != present.get(name)}
    if changes.keys() - {"schedulerConfiguration"} or changed - {"maxConcurrentRuns"}:
        raise ApiError(
            "ValidationException",
            "Only MaxConcurrentRuns from SchedulerConfiguration can be updated when application is in STARTED state.",
        )
