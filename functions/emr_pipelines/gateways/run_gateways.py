"""The gateways that it takes to end a run; in a module of their own, because most functions do without."""

from dataclasses import dataclass, field

from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.run_slots import RunSlots


@dataclass(frozen=True, kw_only=True)
class RunGateways(JobGateways):
    """What ends its jobs, and gives back its cluster and its slot."""

    slots: RunSlots
    stacks: ClusterStacks = field(default_factory=ClusterStacks)
