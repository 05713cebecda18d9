"""The input of an execution becomes the jobs of one run: of a registered pipeline, an inline one, or of a repair."""

from datetime import datetime
from typing import Any

from emr_pipelines.clock import now
from emr_pipelines.definition import Definition
from emr_pipelines.domain_event import pipeline_run_started
from emr_pipelines.errors import InvalidRunInputError, PipelineNotFoundError, RepairRefusedError
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.job_groups import groups
from emr_pipelines.job_state import JobState
from emr_pipelines.plan import plan
from emr_pipelines.repair import continued, same_plan, take_over
from emr_pipelines.run import Job, Run
from emr_pipelines.stack import Stack


def plan_run(
    run_id: str, execution_arn: str, run_input: object, *,
    record: RunRecord, registry: PipelineRegistry, events: DomainEvents, stack: Stack, started_at: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Record the run and its jobs, and return `{"runId", "jobs": [[name, ...], ...], "endsAt"}`.

    `jobs` are those to run, every job after its upstream jobs; there are groups of more than one only when there are
    more jobs than one Map runs at the same time. `endsAt` is when the run times out, in seconds since 1970, or null.

    Raises InvalidRunInputError, PipelineNotFoundError, RepairRefusedError, or InvalidPipelineError with every problem
    of the file. The run is recorded first, so a run that fails here is known, too.
    """
    run = record.create_run(Run.begin(run_id, execution_arn, run_input, started_at))
    asked = _checked(run_input)
    if "repair" in asked:
        run, jobs = _plan_repair(run, asked, record, registry, stack)
    else:
        run, jobs = plan(run, _definition(run, asked, registry), stack)
    record.save_plan(run, jobs)
    # Looking after the plan is in place: whoever ended the run before it was there did not know these jobs.
    latest = record.get_run(run_id)
    if latest and latest.ended:
        jobs = [_never_run(job, latest, record) for job in jobs]
    else:
        events.publish(pipeline_run_started(run, len(jobs)))
    return {
        "runId": run_id,
        "jobs": groups([job.name for job in jobs if not job.ended]),
        "endsAt": datetime.fromisoformat(run.deadline).timestamp() if run.deadline else None,
    }


def _checked(run_input: object) -> dict[str, Any]:
    asked = run_input if isinstance(run_input, dict) else {}
    for name in ("parameters", "trigger", "definition"):
        value = asked.get(name)
        if value is not None and not isinstance(value, dict):
            raise InvalidRunInputError(name, value)
    return asked


def _definition(run: Run, asked: dict[str, Any], registry: PipelineRegistry) -> Definition:
    if asked.get("definition"):
        # Only here a whole pipeline has to be checked: all the other runs start without what that takes.
        from emr_pipelines.pipeline import check_definition  # noqa: PLC0415

        return check_definition(asked["definition"])
    definition = registry.get(run.pipeline)
    if definition is None:
        raise PipelineNotFoundError(run.pipeline, [registered.name for registered in registry.list()])
    return definition


def _never_run(job: Job, run: Run, record: RunRecord) -> Job:
    return job if job.ended else record.record_state(job, JobState.CANCELLED, now(), state_details=run.why_stopping)


def _plan_repair(
    run: Run, asked: dict[str, Any], record: RunRecord, registry: PipelineRegistry, stack: Stack
) -> tuple[Run, list[Job]]:
    old = record.get_run(str(asked["repair"]))
    if old is None:
        raise RepairRefusedError(f"There is no run {asked['repair']} to repair.")
    if not old.ended:
        raise RepairRefusedError(f"Run {old.run_id} is still running: cancel it first, or wait for its end.")
    old_jobs = record.list_jobs(old.run_id)
    if asked.get("latest"):
        run = continued(run, old)
        planned, jobs = plan(run, _definition(run, {}, registry), stack)
    else:
        planned, jobs = same_plan(run, old, old_jobs, stack)
    jobs = take_over(jobs, old, old_jobs, asked.get("from"))
    repaired_by = record.claim_repair(old.run_id, run.run_id)
    if repaired_by != run.run_id:
        raise RepairRefusedError(f"Run {old.run_id} has been repaired by {repaired_by}: repair that one.")
    return planned, jobs
