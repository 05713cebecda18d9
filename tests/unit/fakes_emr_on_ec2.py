"""Stand-ins for EMR on EC2 and the stacks of clusters, like those in `fakes`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emr_pipelines.errors import RequestRefusedError, ResourceMissingError
from emr_pipelines.gateways.cluster_stacks import ClusterStacks, ObservedStack
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2, ObservedCluster
from emr_pipelines.gateways.job_service import ObservedJobRun
from emr_pipelines.job_state import is_final


@dataclass
class FakeEmrOnEc2(EmrOnEc2):
    """Clusters and steps whose states the test sets; each request can be made to fail."""

    clusters: dict[str, ObservedCluster] = field(default_factory=dict)
    steps: dict[str, ObservedJobRun] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)

    def run_job_flow(self, request: dict[str, Any]) -> str:
        self._note("run_job_flow", request)
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        return self.set_cluster(f"j-{len(self.clusters) + 1}", "STARTING", tags=tags).cluster_id

    def get_cluster(self, cluster_id: str) -> ObservedCluster:
        self._note("get_cluster", cluster_id)
        if cluster_id not in self.clusters:
            raise ResourceMissingError("DescribeCluster", "InvalidRequestException", cluster_id)
        return self.clusters[cluster_id]

    def list_clusters(self) -> list[str]:
        self._note("list_clusters", None)
        return [cluster_id for cluster_id, cluster in self.clusters.items() if not cluster.is_gone]

    def find_cluster(self, request: Mapping[str, Any], since: str) -> str | None:
        self._note("find_cluster", request)
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        return next((name for name, cluster in self.clusters.items() if tags.items() <= cluster.tags.items()), None)

    def terminate_cluster(self, cluster_id: str) -> None:
        self._note("terminate_cluster", cluster_id)
        self.clusters[cluster_id] = replace(self.get_cluster(cluster_id), state="TERMINATING")

    def unprotect_cluster(self, cluster: ObservedCluster) -> None:
        self._note("unprotect_cluster", cluster.cluster_id)

    def start_job_run(self, cluster_id: str, request: dict[str, Any], _client_token: str, since: str) -> str | None:
        self._note("start_job_run", request)
        if "Steps" not in request:
            return None
        added = self.find_job_run(cluster_id, request, since)
        if added is None:
            added = f"s-{len(self.steps) + 1}"
            self.names[request["Steps"][0]["Name"]] = added
            self.set_step(added, "PENDING", cluster_id=cluster_id)
        return added

    def get_job_run(self, cluster_id: str, step_id: str) -> ObservedJobRun:
        self._note("get_job_run", step_id)
        if step_id not in self.steps:
            raise ResourceMissingError("DescribeStep", "InvalidRequestException", step_id)
        return self.steps[step_id]

    def find_job_run(self, cluster_id: str, request: dict[str, Any], since: str) -> str | None:
        self._note("find_job_run", request)
        return self.names.get(request["Steps"][0]["Name"]) if "Steps" in request else None

    def cancel_job_run(self, cluster_id: str, step_id: str) -> None:
        self._note("cancel_job_run", step_id)
        if step_id in self.steps and is_final(self.steps[step_id].state):
            raise RequestRefusedError("CancelSteps", "FAILED", "The step has ended.")

    def list_open_job_runs(self, cluster_id: str) -> list[str]:
        self._note("list_open_job_runs", cluster_id)
        return [name for name, step in self.steps.items() if not is_final(step.state)]

    def set_cluster(
        self, cluster_id: str, state: str, *, details: str = "", tags: dict[str, str] | None = None
    ) -> ObservedCluster:
        """Let a cluster have a state; its tags stay as they are, unless there are new ones."""
        known = self.clusters.get(cluster_id) or ObservedCluster(cluster_id, state, details)
        created_at, log_uri = "2026-11-21T12:00:00.000000Z", "s3://bucket/logs/"
        self.clusters[cluster_id] = replace(
            known, state=state, details=details, tags=tags or known.tags, created_at=created_at, log_uri=log_uri
        )
        return self.clusters[cluster_id]

    def set_step(
        self, step_id: str, state: str, *, second: int = 0, details: str | None = None, cluster_id: str = "j-1"
    ) -> ObservedJobRun:
        """Let a step have a state, in the words of a job run, since `second` seconds after noon."""
        at = f"2026-11-21T12:00:{second:02d}.000000Z"
        self.steps[step_id] = ObservedJobRun(step_id, cluster_id, state, at, details)
        return self.steps[step_id]

    def asked(self, operation: str) -> list[Any]:
        """Return what an operation was called with."""
        return [argument for name, argument in self.requests if name == operation]

    def _note(self, operation: str, argument: object) -> None:
        self.requests.append((operation, argument))
        if operation in self.failures:
            raise self.failures[operation]


@dataclass
class FakeStacks(ClusterStacks):
    """Stacks whose status the test sets."""

    stacks: dict[str, ObservedStack] = field(default_factory=dict)
    created: list[Mapping[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failure: Exception | None = None
    reason: str | None = None

    def create(self, request: Mapping[str, Any]) -> None:
        if self.failure:
            raise self.failure
        self.created.append(request)
        name = request["StackName"]
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        created_at = "2026-11-21T12:00:00.000000Z"
        self.stacks.setdefault(name, ObservedStack(name, "CREATE_IN_PROGRESS", "", {}, tags, created_at))

    def get(self, name: str) -> ObservedStack | None:
        return self.stacks.get(name)

    def first_failure(self, name: str) -> str | None:
        return self.reason

    def list_of_runs(self) -> list[ObservedStack]:
        return [stack for name, stack in self.stacks.items() if name not in self.deleted]

    def delete(self, name: str) -> None:
        self.deleted.append(name)
