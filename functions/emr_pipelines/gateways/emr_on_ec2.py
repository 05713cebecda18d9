"""EMR on EC2: clusters, their steps and the sizes of their parts. Requests and answers have the service's own fields.

RunJobFlow and AddJobFlowSteps have no client token. So what they have made is found by tags and names, and the SDK does
not repeat them by itself: an answer that was lost on the way would lead to a second cluster.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from botocore.config import Config

from emr_pipelines.clock import iso_time
from emr_pipelines.errors import RequestRefusedError, ResourceMissingError, TransientError
from emr_pipelines.gateways.aws import CONFIG, client, translated_errors
from emr_pipelines.gateways.job_service import JobService, ObservedJobRun
from emr_pipelines.job_state import JobState

_ONCE = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
_LIVING_CLUSTERS = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]
_OPEN_STEPS = ["PENDING", "CANCEL_PENDING", "RUNNING"]
# The states of a step in the words of a job run; the others are called the same.
_STATES = {
    "CANCEL_PENDING": JobState.CANCELLING,
    "COMPLETED": JobState.SUCCESS,
    "INTERRUPTED": JobState.FAILED,
}
_TOO_MANY_STEPS = re.compile(r"maximum number of (active )?steps", re.IGNORECASE)
_NOT_THERE = re.compile(r"(Cluster|Step) id .* is not valid", re.IGNORECASE)


@dataclass(frozen=True)
class ObservedCluster:
    """What EMR says about a cluster; `details` is its reason for the state."""

    cluster_id: str
    state: str
    details: str
    tags: dict[str, str] = field(default_factory=dict)
    created_at: str = ""
    log_uri: str | None = None
    protected: bool = False

    @property
    def is_ready(self) -> bool:
        """Tell whether steps that are added now are run now."""
        return self.state in {"RUNNING", "WAITING"}

    @property
    def is_gone(self) -> bool:
        """Tell whether the cluster takes no more steps, and never will."""
        return self.state in {"TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"}


class EmrOnEc2(JobService):
    """The calls that the functions make."""

    def __init__(self, config: Config = CONFIG) -> None:
        self._emr = client("emr", config)

    @cached_property
    def _emr_once(self) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
        """A client that repeats nothing by itself; most functions, and most runs, need none."""
        return client("emr", _ONCE)

    def run_job_flow(self, request: dict[str, Any]) -> str:
        """Start a cluster and return its id."""
        with _translated_errors():
            cluster_id: str = self._emr_once.run_job_flow(**request)["JobFlowId"]
            return cluster_id

    def get_cluster(self, cluster_id: str) -> ObservedCluster:
        """Return the state of a cluster."""
        with _translated_errors():
            cluster = self._emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
        status = cluster["Status"]
        log_uri = cluster.get("LogUri")
        return ObservedCluster(
            cluster_id,
            status["State"],
            _reason(status),
            {tag["Key"]: tag.get("Value", "") for tag in cluster.get("Tags", [])},
            iso_time(status["Timeline"]["CreationDateTime"]),
            re.sub(r"^s3[an]:", "s3:", log_uri) if log_uri else None,
            cluster.get("TerminationProtected", False),
        )

    def list_clusters(self) -> list[str]:
        """Return the ids of all clusters of the account that are not about to go."""
        with _translated_errors():
            pages = self._emr.get_paginator("list_clusters").paginate(ClusterStates=_LIVING_CLUSTERS)
            return [cluster["Id"] for page in pages for cluster in page["Clusters"]]

    def find_cluster(self, request: Mapping[str, Any], since: str) -> str | None:
        """Return the id of the cluster that a RunJobFlow request with these tags has led to since a time, if any."""
        with _translated_errors():
            pages = self._emr.get_paginator("list_clusters").paginate(CreatedAfter=datetime.fromisoformat(since))
            named = [one["Id"] for page in pages for one in page["Clusters"] if one["Name"] == request["Name"]]
        tags = {tag["Key"]: tag.get("Value", "") for tag in request["Tags"]}
        return next((one for one in named if tags.items() <= self.get_cluster(one).tags.items()), None)

    def terminate_cluster(self, cluster_id: str) -> None:
        """Terminate a cluster, also when it is protected from that; one that is gone is left alone."""
        cluster = self.get_cluster(cluster_id)
        if cluster.is_gone:
            return
        self.unprotect_cluster(cluster)
        with _translated_errors():
            self._emr.terminate_job_flows(JobFlowIds=[cluster_id])

    def unprotect_cluster(self, cluster: ObservedCluster) -> None:
        """Lift the termination protection of a cluster, if it has one."""
        if cluster.protected:
            with _translated_errors():
                self._emr.set_termination_protection(JobFlowIds=[cluster.cluster_id], TerminationProtected=False)

    def start_job_run(self, cluster_id: str, request: dict[str, Any], _client_token: str, since: str) -> str | None:
        """Add a step, unless it was added since a time, and return its id; or resize a part of the cluster."""
        if "Steps" not in request:
            self._resize(cluster_id, request)
            return None
        added = self.find_job_run(cluster_id, request, since)
        if added:
            return added
        with _translated_errors():
            step_id: str = self._emr_once.add_job_flow_steps(JobFlowId=cluster_id, **request)["StepIds"][0]
            return step_id

    def get_job_run(self, cluster_id: str, step_id: str) -> ObservedJobRun:
        """Return the true state of a step."""
        with _translated_errors():
            step = self._emr.describe_step(ClusterId=cluster_id, StepId=step_id)["Step"]
        state, timeline = step["Status"]["State"], step["Status"]["Timeline"]
        times = {name: iso_time(time) for name, time in timeline.items()}
        return ObservedJobRun(
            job_run_id=step_id,
            application_id=cluster_id,
            state=job_state(state),
            observed_at=times.get("EndDateTime") or times.get("StartDateTime") or times["CreationDateTime"],
            state_details=_why_ended(step["Status"]),
            started_at=times.get("StartDateTime"),
            ended_at=times.get("EndDateTime"),
            created_at=times["CreationDateTime"],
        )

    def list_attempts(self, step: ObservedJobRun) -> list[dict[str, Any]]:
        """Return the one attempt that EMR makes of a step; it bills the instances of the cluster, not its steps."""
        return [step.as_attempt({})]

    def find_job_run(self, cluster_id: str, request: dict[str, Any], since: str) -> str | None:
        """Return the id of the step that an AddJobFlowSteps request has led to since a time, if any."""
        if "Steps" not in request:
            return None
        (wanted,) = request["Steps"]
        for step in self._steps(cluster_id):  # the newest first
            if iso_time(step["Status"]["Timeline"]["CreationDateTime"]) < since:
                return None
            if step["Name"] == wanted["Name"]:
                step_id: str = step["Id"]
                return step_id
        return None

    def cancel_job_run(self, cluster_id: str, step_id: str) -> None:
        """Ask EMR to cancel a step."""
        with _translated_errors():
            answer = self._emr.cancel_steps(ClusterId=cluster_id, StepIds=[step_id])
        for info in answer.get("CancelStepsInfoList", []):
            if info.get("Status") == "FAILED":
                raise RequestRefusedError("CancelSteps", "FAILED", info.get("Reason", ""))

    def list_open_job_runs(self, cluster_id: str) -> list[str]:
        """Return the ids of the steps of a cluster that have not ended."""
        return [step["Id"] for step in self._steps(cluster_id, StepStates=_OPEN_STEPS)]

    def _steps(self, cluster_id: str, **which: list[str]) -> Iterator[dict[str, Any]]:
        with _translated_errors():
            for page in self._emr.get_paginator("list_steps").paginate(ClusterId=cluster_id, **which):
                yield from page["Steps"]

    def _resize(self, cluster_id: str, request: dict[str, Any]) -> None:
        """Change an instance fleet or group that a request names; what it has the wanted size of already stays."""
        with _translated_errors():
            if "InstanceFleet" in request:
                fleets = self._emr.get_paginator("list_instance_fleets").paginate(ClusterId=cluster_id)
                parts = [fleet for page in fleets for fleet in page["InstanceFleets"]]
                fleet_id = _id_of(request["InstanceFleetName"], parts, "instance fleet")
                fleet = {**request["InstanceFleet"], "InstanceFleetId": fleet_id}
                self._emr.modify_instance_fleet(ClusterId=cluster_id, InstanceFleet=fleet)
            else:
                groups = self._emr.get_paginator("list_instance_groups").paginate(ClusterId=cluster_id)
                parts = [group for page in groups for group in page["InstanceGroups"]]
                group_id = _id_of(request["InstanceGroupName"], parts, "instance group")
                changed = [{**group, "InstanceGroupId": group_id} for group in request["InstanceGroups"]]
                self._emr.modify_instance_groups(ClusterId=cluster_id, InstanceGroups=changed)


def job_state(state: str) -> str:
    """Return the state of a step in the words of a job run."""
    return _STATES.get(state, state)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Like `translated_errors`; EMR says of what does not exist that its id is not valid.

    A cluster takes 256 steps that have not ended: one more may be added later.
    """
    try:
        with translated_errors():
            yield
    except RequestRefusedError as error:
        if _NOT_THERE.search(str(error)):
            raise ResourceMissingError("The request", error.code, str(error)) from error
        if _TOO_MANY_STEPS.search(str(error)):
            raise TransientError(str(error)) from error
        raise


def _reason(status: Mapping[str, Any]) -> str:
    """Say why a cluster has its state; the details of the errors tell most, when there are any."""
    reason = status.get("StateChangeReason", {})
    said = [f"{reason['Code']}: {reason.get('Message', '')}" if reason.get("Code") else reason.get("Message", "")]
    said += [error["ErrorMessage"] for error in status.get("ErrorDetails", []) if error.get("ErrorMessage")]
    return " ".join(dict.fromkeys(filter(None, said)))


def _why_ended(status: Mapping[str, Any]) -> str | None:
    """Say why a step ended badly. Of one that was cancelled, whoever did it knows more."""
    failure = status.get("FailureDetails", {})
    said = [failure.get(name) for name in ("Reason", "Message")]
    if status["State"] in {"FAILED", "INTERRUPTED"}:
        said.append(status.get("StateChangeReason", {}).get("Message"))
    text = " ".join(dict.fromkeys(filter(None, said)))
    return f"INTERRUPTED: {text}".rstrip(": ") if status["State"] == "INTERRUPTED" else text or None


def _id_of(name: str, parts: list[dict[str, Any]], kind: str) -> str:
    ids = {part.get("Name", part["Id"]): str(part["Id"]) for part in parts}
    if name not in ids:
        has = ", ".join(ids) or "none"
        raise RequestRefusedError("The request", "NoSuchName", f"The cluster has no {kind} {name}; it has {has}.")
    return ids[name]
