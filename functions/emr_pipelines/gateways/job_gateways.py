"""The gateways that most use cases share, handed on as one parameter; those that end a run have `RunGateways`.

There is more than one set, so that no function makes the client of a service that it never calls. What needs to be told
nothing is made with the set.
"""

from dataclasses import dataclass, field

from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.job_service import JobService
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.run import Job


@dataclass(frozen=True, kw_only=True)
class EmrGateways:
    """What tells how a run stands, and the task that waits for it: the run record, EMR and Step Functions."""

    record: RunRecord
    emr: EmrServerless = field(default_factory=EmrServerless)
    clusters: EmrOnEc2 = field(default_factory=EmrOnEc2)
    step_functions: StepFunctions = field(default_factory=StepFunctions)

    def service_of(self, job: Job) -> JobService:
        """Return the service on which a job executes."""
        return self.clusters if job.on_cluster else self.emr


@dataclass(frozen=True, kw_only=True)
class JobGateways(EmrGateways):
    """What it takes to move a job on to its end."""

    events: DomainEvents
