"""Every cluster of the service: ministack's records, and what lives."""

from collections.abc import Iterable
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import emr

from emrp.local.emr_on_ec2.execution import Surroundings
from emrp.local.emr_on_ec2.lifecycle import LiveCluster
from emrp.local.emr_on_ec2.records import ENDING, TERMINATED, Record, scope_of, state_of
from emrp.local.emr_serverless.errors import ApiError


class Registry:
    """The clusters, by id; a request sees those of its account and region."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._live: dict[str, LiveCluster] = {}

    def add(self, cluster_id: str) -> LiveCluster:
        """Bring a new cluster of ministack to life."""
        live = LiveCluster(emr._clusters[cluster_id], emr._steps[cluster_id], self._around)
        self._live[cluster_id] = live
        live.start()
        return live

    def clusters(self) -> Iterable[Record]:
        """Return the clusters of the request's account and region."""
        clusters: Iterable[Record] = emr._clusters.values()
        return clusters

    def find(self, cluster_id: str | None) -> LiveCluster:
        """Return a cluster, or say that there is none."""
        if emr._clusters.get(cluster_id) is None:
            raise ApiError("InvalidRequestException", f"Cluster id '{cluster_id}' is not valid.")
        return self._live[str(cluster_id)]

    def find_job_flow(self, job_flow_id: str) -> LiveCluster:
        """Return a cluster for the older operations, which refuse an id with an error of their own."""
        if emr._clusters.get(job_flow_id) is None:
            raise ApiError("ValidationException", "Specified job flow ID not valid")
        return self._live[job_flow_id]

    def modifiable(self, cluster_id: str) -> LiveCluster:
        """Return a cluster that may be changed, which one that ends may not."""
        live = self.find_job_flow(cluster_id)
        if live.state in ENDING:
            message = "A job flow that is shutting down, terminated, or finished may not be modified."
            raise ApiError("ValidationException", message)
        return live

    def find_step(self, cluster_id: str, step_id: str) -> Record:
        """Return a step of a cluster, or say that there is none."""
        for step in self.find(cluster_id).steps:
            if step["Id"] == step_id:
                return step
        raise ApiError("InvalidRequestException", f"Step id '{step_id}' is not valid.")

    def find_group(self, group_id: str) -> tuple[LiveCluster, Record]:
        """Return an instance group with its cluster, or say that there is none."""
        for cluster in self.clusters():
            for group in cluster["InstanceGroups"]:
                if group["Id"] == group_id:
                    return self.find(cluster["Id"]), group
        raise ApiError("InvalidRequestException", f"Instance group id '{group_id}' is not valid.")

    def everywhere(self) -> list[LiveCluster]:
        """Return all clusters that live in any account and region."""
        return list(self._live.values())

    def resume(self) -> None:
        """Bring the clusters that ministack has loaded to life."""
        for scoped, cluster in list(emr._clusters.all_items()):
            live = LiveCluster(cluster, emr._steps.get_scoped(*scoped, []), self._around)
            self._live[cluster["Id"]] = live
            if state_of(cluster) not in TERMINATED:
                with request_scope(*scope_of(cluster)):
                    live.resume()

    def forget_all(self) -> list[LiveCluster]:
        """Forget every cluster; returns those that lived."""
        forgotten, self._live = self.everywhere(), {}
        return forgotten


def page_of(items: list[Any], marker: str | None, size: int = 50) -> tuple[list[Any], str | None]:
    """Return a page of a list, and the marker of the next one."""
    try:
        start = int(marker or 0)
    except ValueError as error:
        raise ApiError("InvalidRequestException", f"The marker {marker} is not valid.") from error
    following = start + size
    return items[start:following], str(following) if following < len(items) else None
