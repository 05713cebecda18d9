"""The plan of a run that repairs another: what has succeeded is taken over, everything else runs again."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from emr_pipelines.clock import iso_time
from emr_pipelines.errors import RepairRefusedError, TransientError
from emr_pipelines.job_state import JobState
from emr_pipelines.plan import assigned, assigned_cluster, with_tags
from emr_pipelines.run import Job, Run
from emr_pipelines.stack import Stack


def same_plan(run: Run, old: Run, old_jobs: list[Job], stack: Stack) -> tuple[Run, list[Job]]:
    """Return the plan of `old` for the new run that repairs it, with nothing run yet; `old` may be a repair itself."""
    if not old_jobs or old.lifecycle is None:  # its jobs are recorded first
        raise RepairRefusedError(
            f"Run {old.run_id} ended before it was planned ({old.error}): there is nothing to go on with. "
            "Mend the cause and start a new run, or repair it with the pipeline's latest file."
        )
    tags = stack.tags(run=run.run_id)
    application, cluster = old.application, old.cluster
    if old.lifecycle == "transient":
        application = with_tags(application, tags) if application else application
        cluster = assigned_cluster(cluster, replace(run, pipeline=old.pipeline), stack) if cluster else cluster
    planned = replace(
        continued(run, old),
        pipeline_file=old.pipeline_file,
        pipeline_version=old.pipeline_version,
        application=application,
        cluster=cluster,
        lifecycle=old.lifecycle,
        application_id=old.application_id if old.lifecycle == "existing" else None,
        output=old.output,
        notify_on=old.notify_on,
        notify_topics=old.notify_topics,
        expected_minutes=old.expected_minutes,
        fail_fast=old.fail_fast,
        concurrency=old.concurrency,
        deadline=_moved(old.deadline, old.started_at, run.started_at),
    )
    jobs = [_anew(job, run, tags) for job in old_jobs]
    return planned, jobs


def continued(run: Run, old: Run) -> Run:
    """Return a new run with what it inherits from the run that it repairs, also when its file is a later one."""
    return replace(
        run,
        pipeline=old.pipeline,
        trigger=old.trigger,
        parameters=old.parameters,
        origin=old.origin or old.run_id,
        repair_of=old.run_id,
    )


def take_over(jobs: list[Job], old: Run, old_jobs: list[Job], from_job: str | None) -> list[Job]:
    """Return the jobs of a repair, those that need not run again with their old ends.

    What succeeded does not run again, unless `from_job` names it or something upstream of it. Raises
    RepairRefusedError, and TransientError while a job run of the old run has not ended.
    """
    alive = [job.name for job in old_jobs if job.job_run_id and not job.ended]
    if alive:
        raise TransientError(f"Job runs of {old.run_id} have not ended yet: {', '.join(alive)}.")
    again = _with_dependents(jobs, from_job) if from_job else set()
    succeeded = {job.name: job for job in old_jobs if job.succeeded and job.name not in again}
    repaired = [_taken_over(job, succeeded[job.name], old) if job.name in succeeded else job for job in jobs]
    open_jobs = {job.name for job in repaired if not job.ended}
    if not open_jobs:
        raise RepairRefusedError(f"Every job of run {old.run_id} has succeeded: there is nothing to repair.")
    return [
        replace(job, waiting_for=sorted(open_jobs & {*job.upstream, *job.after})) if job.name in open_jobs else job
        for job in repaired
    ]


def _anew(job: Job, run: Run, tags: dict[str, str]) -> Job:
    """Return a job as it was planned; one that was planned as skipped stays so."""
    if job.state == JobState.SKIPPED and not job.upstream:
        return replace(job, run_id=run.run_id, settled=False)
    return Job(
        run_id=run.run_id,
        pipeline=job.pipeline,
        name=job.name,
        position=job.position,
        request=assigned(job.request, job.name, run.run_id, tags),
        definition=job.definition,
        loop=job.loop,
        item=job.item,
        deferred=job.deferred,
        output_uri=job.output_uri,
        run_if=job.run_if,
        upstream=job.upstream,
        after=job.after,
        dependents=job.dependents,
        log_uri=job.log_uri,
        timeout_minutes=job.timeout_minutes,
    )


def _taken_over(job: Job, old_job: Job, old: Run) -> Job:
    return replace(
        old_job,
        run_id=job.run_id,
        position=job.position,
        upstream=job.upstream,
        after=job.after,
        dependents=job.dependents,
        waiting_for=[],
        task_token=None,
        upstream_token=None,
        settled=True,
        reused_from=old_job.reused_from or old.run_id,
    )


def _with_dependents(jobs: list[Job], name: str) -> set[str]:
    """Return a job, or every iteration of a loop's job, and everything that depends on it."""
    by_name = {job.name: job for job in jobs}
    reached: set[str] = set()
    waiting = [job.name for job in jobs if name in {job.name, job.definition, job.loop}]
    if not waiting:
        raise RepairRefusedError(f'The run has no job "{name}". It has: {_listing(by_name)}.')
    while waiting:
        found = waiting.pop()
        if found not in reached:
            reached.add(found)
            waiting += by_name[found].dependents
    return reached


def _listing(names: Iterable[str], most: int = 20) -> str:
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def _moved(deadline: str | None, old_start: str, new_start: str) -> str | None:
    """Return the deadline of a run that starts at another time."""
    if deadline is None:
        return None
    allowed = datetime.fromisoformat(deadline) - datetime.fromisoformat(old_start)
    return iso_time(datetime.fromisoformat(new_start) + allowed)
