"""The end of the cluster that a run has had for itself."""

from emr_pipelines.errors import ResourceMissingError
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.run import Run


def release_cluster(run: Run, clusters: EmrOnEc2, stacks: ClusterStacks) -> None:
    """Terminate the cluster of a run, or delete the stack that has it; one that is protected from it, too. Idempotent.

    A cluster that nobody has recorded is looked for: who started it may have been interrupted.
    """
    name, cluster_id = run.cluster.get("StackName"), run.application_id
    if not name:
        cluster_id = cluster_id or clusters.find_cluster(run.cluster, run.started_at)
    try:
        if cluster_id and name:
            clusters.unprotect_cluster(clusters.get_cluster(cluster_id))
        elif cluster_id:
            clusters.terminate_cluster(cluster_id)
    except ResourceMissingError:
        pass  # EMR has forgotten it long ago
    if name:
        stacks.delete(name)
