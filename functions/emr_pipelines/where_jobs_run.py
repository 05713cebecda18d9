"""Which of EMR's services a run or a job belongs to."""

from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.job_service import JobService
from emr_pipelines.run import Job, Run


def where_jobs_run(which: Run | Job, emr: EmrServerless, clusters: EmrOnEc2) -> JobService:
    """Return the service on which a run or job executes."""
    return clusters if which.on_cluster else emr
