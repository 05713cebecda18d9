"""A simulated EMR on EC2 beside the simulated EMR Serverless: clusters come and go, and steps run as job runs do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emr_pipelines.clock import iso_time
from emr_pipelines.errors import RequestRefusedError, ResourceMissingError
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2, ObservedCluster
from emr_pipelines.gateways.job_service import ObservedJobRun
from emr_pipelines.job_state import is_final

from tests.unit.conftest import example_event
from tests.unit.simulation.emr_serverless import Behaviour, SimulatedEmrServerless, SimulatedJobRun
from tests.unit.simulation.happenings import Happenings

_CLUSTER_EVENT = example_event("handle_state_change.cluster_waiting")
_STEP_EVENT = example_event("handle_state_change.step_completed")
_GONE = ("TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS")


class SimulatedStep(SimulatedJobRun):
    """A step; only its name says whose it is, as in "preprocess (run-1)"."""

    @property
    def name(self) -> str:
        name: str = self.request["Steps"][0]["Name"]
        return name

    @property
    def job(self) -> str:
        return self.name.split(" ")[0]

    @property
    def run_id(self) -> str:
        return self.name.split(" ")[1].strip("()")

    @property
    def tags(self) -> dict[str, str]:
        return {}

    @property
    def course(self) -> list[tuple[str, float]]:
        return [("PENDING", 0.0), ("RUNNING", 5.0)]

    def event(self, updated_at: str) -> dict[str, Any]:
        detail = {"clusterId": self.application_id, "stepId": self.job_run_id, "state": self.state}
        return {**_STEP_EVENT, "time": updated_at, "detail": {**_STEP_EVENT["detail"], **detail}}

    def sign_of_life(self) -> None:
        return None


@dataclass
class SimulatedCluster:
    """A cluster."""

    cluster_id: str
    request: Mapping[str, Any]
    created: float
    state: str = "STARTING"


class SimulatedEmrOnEc2(EmrOnEc2):
    """Its steps are among the job runs of `serverless`, which lets them take their course.

    Nothing here is deduplicated by a client token: that is for the functions to see to.
    """

    def __init__(
        self, happenings: Happenings, publish: Callable[[dict[str, Any]], None], serverless: SimulatedEmrServerless
    ) -> None:
        self.clusters: dict[str, SimulatedCluster] = {}
        self.starts = "well"
        self._happenings = happenings
        self._publish = publish
        self._serverless = serverless

    # Clusters

    def run_job_flow(self, request: dict[str, Any]) -> str:
        if self.starts == "refused":
            raise RequestRefusedError("RunJobFlow", "ValidationException", "The subnet does not exist.")
        cluster_id = f"j-{len(self.clusters) + 1}"
        cluster = SimulatedCluster(cluster_id, request, self._happenings.seconds)
        self.clusters[cluster_id] = cluster
        self._say(cluster)
        self._change_later(cluster, 300, {"STARTING"}, "BOOTSTRAPPING")
        end = "TERMINATED_WITH_ERRORS" if self.starts == "badly" else "WAITING"
        self._change_later(cluster, 600, {"STARTING", "BOOTSTRAPPING"}, end)
        return cluster_id

    def get_cluster(self, cluster_id: str) -> ObservedCluster:
        if cluster_id not in self.clusters:
            raise ResourceMissingError("DescribeCluster", "InvalidRequestException", cluster_id)
        cluster = self.clusters[cluster_id]
        tags = {tag["Key"]: tag["Value"] for tag in cluster.request["Tags"]}
        return ObservedCluster(cluster_id, cluster.state, "", tags, self._time(cluster.created))

    def list_clusters(self) -> list[str]:
        return [name for name, cluster in self.clusters.items() if cluster.state not in _GONE]

    def find_cluster(self, request: Mapping[str, Any], since: str) -> str | None:
        same = (name for name, cluster in self.clusters.items() if cluster.request["Tags"] == request["Tags"])
        return next(same, None)

    def terminate_cluster(self, cluster_id: str) -> None:
        cluster = self.clusters[self.get_cluster(cluster_id).cluster_id]
        if cluster.state not in _GONE:
            self._change(cluster, "TERMINATING")
            for step in self._of_cluster(cluster_id):
                if step.ended is None:
                    self._serverless.interrupt(step, "CANCELLED")
            self._change_later(cluster, 60, {"TERMINATING"}, "TERMINATED")

    def of_run(self, run_id: str) -> list[SimulatedCluster]:
        """The clusters that a run has had."""
        tag = {"Key": "emr-pipelines:run", "Value": run_id}
        return [cluster for cluster in self.clusters.values() if tag in cluster.request["Tags"]]

    # Steps

    def start_job_run(self, cluster_id: str, request: dict[str, Any], _client_token: str, since: str) -> str | None:
        if self.get_cluster(cluster_id).is_gone:
            raise RequestRefusedError("AddJobFlowSteps", "ValidationException", "The job flow is shutting down.")
        added = self.find_job_run(cluster_id, request, since)
        if added:
            return added
        self._serverless.throttle()
        step = SimulatedStep(f"s-{len(self._serverless.job_runs) + 1}", cluster_id, request, Behaviour())
        self._serverless.begin(step)
        return step.job_run_id

    def get_job_run(self, cluster_id: str, step_id: str) -> ObservedJobRun:
        return self._serverless.get_job_run(cluster_id, step_id)

    def find_job_run(self, cluster_id: str, request: dict[str, Any], since: str) -> str | None:
        name = request["Steps"][0]["Name"]
        return next((step.job_run_id for step in self._of_cluster(cluster_id) if step.name == name), None)

    def list_open_job_runs(self, cluster_id: str) -> list[str]:
        return [step.job_run_id for step in self._of_cluster(cluster_id) if not is_final(step.state)]

    def cancel_job_run(self, cluster_id: str, step_id: str) -> None:
        self._serverless.cancel_job_run(cluster_id, step_id)

    def _of_cluster(self, cluster_id: str) -> list[SimulatedStep]:
        every = self._serverless.job_runs.values()
        return [step for step in every if isinstance(step, SimulatedStep) and step.application_id == cluster_id]

    # What happens

    def _change_later(self, cluster: SimulatedCluster, seconds: float, old: set[str], new: str) -> None:
        def change() -> None:
            if cluster.state in old:
                self._change(cluster, new)

        self._happenings.after(seconds * self._happenings.random.uniform(0.5, 1.5), change)

    def _change(self, cluster: SimulatedCluster, state: str) -> None:
        cluster.state = state
        self._say(cluster)

    def _say(self, cluster: SimulatedCluster) -> None:
        detail = {**_CLUSTER_EVENT["detail"], "clusterId": cluster.cluster_id, "state": cluster.state}
        self._publish({**_CLUSTER_EVENT, "detail": detail})

    def _time(self, seconds: float) -> str:
        return iso_time(self._happenings.at(seconds))
