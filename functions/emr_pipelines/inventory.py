"""What there is of a stack's runs: in the run record, in Step Functions and on EMR. Everything here only reads.

The record lists the runs of which something may be open, and Step Functions the executions that are alive, so neither
the table nor the history of the state machine is searched. Of EMR Serverless everything is looked at, in applications
of others, too: only the tags tell what is ours, and a run may use an application that is not. Steps have no tags: of
clusters, those are looked at that our tags or an open run name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from emr_pipelines.clock import iso_time
from emr_pipelines.errors import ResourceMissingError
from emr_pipelines.gateways.cluster_stacks import ClusterStacks, ObservedStack
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2, ObservedCluster
from emr_pipelines.gateways.emr_serverless import EmrServerless, ObservedApplication
from emr_pipelines.gateways.job_gateways import EmrGateways
from emr_pipelines.gateways.job_service import JobService, ObservedJobRun
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.gateways.step_functions import ObservedExecution, StepFunctions
from emr_pipelines.run import Job, Run, execution_arn
from emr_pipelines.stack import RUN_TAG, STACK_TAG

_DIED = ("FAILED", "ABORTED", "TIMED_OUT")
# The first state of an execution records the run; with all of its retries that takes an hour at the most.
_RECORDED_WITHIN = timedelta(days=1)
_MAY_HAVE_JOB_RUNS = frozenset({"STARTING", "STARTED", "STOPPING"})


@dataclass(frozen=True)
class OpenJobRun:
    """A job run of this stack that EMR has not ended; `job` is None when the record does not know it."""

    job_run_id: str
    application_id: str
    run_id: str
    job: Job | None
    created_at: str


@dataclass(frozen=True)
class Slots:
    """Who has the slots of a pipeline, and who waits for one, the first in line first."""

    limit: int
    holders: frozenset[str]
    queue: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """How everything stands.

    `runs` are the recorded ones of all runs that anything belongs to, `jobs` those of the open runs. `executions` has
    what is no longer alive of the runs that have not ended in the record: None when Step Functions knows nothing of it.
    `ended_job_runs` are jobs that have not ended in the record but have on EMR, or are gone (None), by their job run.
    """

    open_runs: list[str]
    runs: dict[str, Run]
    jobs: dict[str, list[Job]]
    executions: dict[str, ObservedExecution | None]
    job_runs: list[OpenJobRun]
    ended_job_runs: dict[str, ObservedJobRun | None]
    applications: list[ObservedApplication]
    clusters: list[ObservedCluster]
    stacks: list[ObservedStack]
    slots: dict[str, Slots]


def take_inventory(
    stack_name: str, state_machine_arn: str, gateways: EmrGateways, *, stacks: ClusterStacks, slots: RunSlots
) -> Inventory:
    """Look at everything once."""
    # EMR first: a job run that the record links in between is asked for by its id, and found alive.
    on_emr = list(_applications(gateways.emr))
    open_job_runs = {
        job_run_id: application.application_id for application, job_run_ids in on_emr for job_run_id in job_run_ids
    }
    open_runs = gateways.record.list_open_runs()
    runs = gateways.record.get_runs(open_runs)
    jobs = {run_id: gateways.record.list_jobs(run_id) for run_id in open_runs}
    of_runs = [cluster for cluster in _clusters(gateways.clusters) if _is_of_run(cluster.tags, stack_name)]
    with_clusters = [stack for stack in stacks.list_of_runs() if _is_of_run(stack.tags, stack_name)]
    in_use = {run.application_id for run in runs.values() if run.on_cluster and run.application_id}
    open_steps = {
        step_id: cluster_id
        for cluster_id in sorted(in_use | {cluster.cluster_id for cluster in of_runs})
        for step_id in _open_steps(cluster_id, gateways.clusters)
    }
    linked = {job.job_run_id: job for of_run in jobs.values() for job in of_run if job.job_run_id}
    still_open = open_job_runs.keys() | open_steps.keys()
    job_runs = [
        job_run
        for job_run_id, application_id in open_job_runs.items()
        if (job_run := _open_job_run(job_run_id, application_id, linked, stack_name, gateways))
    ]
    job_runs += [
        OpenJobRun(step_id, cluster_id, job.run_id, job, "")
        for step_id, cluster_id in open_steps.items()
        if (job := linked.get(step_id) or gateways.record.find_job(step_id))
    ]
    applications = [application for application, _ in on_emr if _is_of_run(application.tags, stack_name)]
    of_pipelines = {run.pipeline: _slots(run, slots) for run in runs.values() if run.concurrency and not run.ended}
    alive = gateways.step_functions.list_executions(state_machine_arn, "RUNNING")
    others = {
        *(job_run.run_id for job_run in job_runs),
        *(application.tags[RUN_TAG] for application in applications),
        *(cluster.tags[RUN_TAG] for cluster in of_runs),
        *(stack.tags[RUN_TAG] for stack in with_clusters),
        *(run_id for of_pipeline in of_pipelines.values() for run_id in of_pipeline.holders),
        *_died_lately(state_machine_arn, gateways.step_functions),
    }
    runs |= gateways.record.get_runs(others - runs.keys())
    return Inventory(
        open_runs=open_runs,
        runs=runs,
        jobs=jobs,
        executions={
            run_id: gateways.step_functions.describe_execution(execution_arn(state_machine_arn, run_id))
            for run_id in {*open_runs, *others} - alive
            if not _has_ended(runs.get(run_id))
        },
        job_runs=job_runs,
        ended_job_runs={
            job_run_id: _observe(job, gateways.service_of(job))
            for job_run_id, job in linked.items()
            if not job.ended and job_run_id not in still_open and not _has_ended(runs.get(job.run_id))
        },
        applications=applications,
        clusters=of_runs,
        stacks=with_clusters,
        slots=of_pipelines,
    )


def _applications(emr: EmrServerless) -> Iterator[tuple[ObservedApplication, list[str]]]:
    """Yield every application with its open job runs."""
    for application_id in emr.list_applications():
        try:
            application = emr.get_application(application_id)
            may_have_job_runs = application.state in _MAY_HAVE_JOB_RUNS
            yield application, emr.list_open_job_runs(application_id) if may_have_job_runs else []
        except ResourceMissingError:  # deleted just now
            continue


def _clusters(clusters: EmrOnEc2) -> Iterator[ObservedCluster]:
    """Yield every cluster that is not about to go."""
    for cluster_id in clusters.list_clusters():
        yield clusters.get_cluster(cluster_id)


def _open_steps(cluster_id: str, clusters: EmrOnEc2) -> list[str]:
    try:
        return clusters.list_open_job_runs(cluster_id)
    except ResourceMissingError:
        return []


def _open_job_run(
    job_run_id: str, application_id: str, linked: Mapping[str, Job], stack_name: str, gateways: EmrGateways
) -> OpenJobRun | None:
    """Return a job run with the run that it belongs to, or None when it is none of this stack's."""
    job = linked.get(job_run_id) or gateways.record.find_job(job_run_id)
    if job:
        return OpenJobRun(job_run_id, application_id, job.run_id, job, "")
    try:
        observed = gateways.emr.get_job_run(application_id, job_run_id)
    except ResourceMissingError:  # it went with its application, just now
        return None
    if not _is_of_run(observed.tags, stack_name):
        return None
    return OpenJobRun(job_run_id, application_id, observed.tags[RUN_TAG], None, observed.created_at)


def _is_of_run(tags: Mapping[str, str], stack_name: str) -> bool:
    return tags.get(STACK_TAG) == stack_name and RUN_TAG in tags


def _slots(run: Run, slots: RunSlots) -> Slots:
    waiting = tuple(run_id for run_id, _ in slots.queue(run.pipeline))
    return Slots(int(run.concurrency["limit"]), frozenset(slots.holders(run.pipeline)), waiting)


def _died_lately(state_machine_arn: str, step_functions: StepFunctions) -> set[str]:
    since = iso_time(datetime.now(UTC) - _RECORDED_WITHIN)
    return {name for status in _DIED for name in step_functions.list_executions(state_machine_arn, status, since)}


def _has_ended(run: Run | None) -> bool:
    return run is not None and run.ended


def _observe(job: Job, emr: JobService) -> ObservedJobRun | None:
    try:
        return emr.get_job_run(job.application_id or "", job.job_run_id or "")
    except ResourceMissingError:
        return None
