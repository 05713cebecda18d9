"""The safety net below clean-up and events: finds what they have missed, ends it with the truth, and says so.

Whatever is done here is done by the use cases that missed it, and they may be at work at the same time: everything is
read anew, and every step can be repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from emr_pipelines.clean_up import clean_up, end_of_execution, readable_cause, release_application
from emr_pipelines.domain_event import sweep_completed
from emr_pipelines.errors import RequestRefusedError, RunLostError
from emr_pipelines.follow_job import ask_emr, cancel_job, settle_job
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.job_service import JobService
from emr_pipelines.gateways.run_gateways import RunGateways
from emr_pipelines.inventory import take_inventory
from emr_pipelines.leftovers import Kind, Leftover, find_closed_runs, find_leftovers
from emr_pipelines.release_cluster import release_cluster
from emr_pipelines.reminders import remind
from emr_pipelines.run import FAILED, Run, execution_arn
from emr_pipelines.run_slot import grant_slots
from emr_pipelines.step_timeout import cancel_overdue_steps


@dataclass(frozen=True)
class Removal:
    """What became of a leftover; `problem` says why it is still there."""

    leftover: Leftover
    problem: Exception | None = None

    def as_json(self) -> dict[str, str]:
        """Return it for logs, events and scripts."""
        problem = {"problem": f"{type(self.problem).__name__}: {self.problem}"} if self.problem else {}
        return {**self.leftover.as_json(), **problem}


def sweep(
    stack_name: str, state_machine_arn: str, grace: timedelta, gateways: RunGateways, *, held: HeldNotifications
) -> Sequence[Removal]:
    """Remove everything that has been left for longer than `grace`; return what became of it.

    And end and tell what is due: it is the only thing that looks at all runs again and again.

    A step that EMR takes its time for, as the stop before a deletion, is finished by the events that follow, or by the
    next sweep.
    """
    inventory = take_inventory(stack_name, state_machine_arn, gateways, stacks=gateways.stacks, slots=gateways.slots)
    removals = []
    at = datetime.now(UTC)
    for leftover in find_leftovers(inventory, at, grace):
        problem = None
        try:
            _remove(leftover, state_machine_arn, gateways)
        except Exception as error:  # one that cannot be removed must not keep all the others
            problem = error
        removals.append(Removal(leftover, problem))
    for run_id in find_closed_runs(inventory, at, grace):
        gateways.record.close_run(run_id)
    if removals:
        gateways.events.publish(sweep_completed([removal.as_json() for removal in removals]))
    remind(inventory.runs.values(), record=gateways.record, held=held, events=gateways.events)
    living = [job for run_id in inventory.open_runs for job in inventory.jobs[run_id] if job.on_cluster]
    cancel_overdue_steps(living, gateways)
    return removals


def _remove(leftover: Leftover, state_machine_arn: str, gateways: RunGateways) -> None:
    match leftover.kind:
        case Kind.RUN_NOT_ENDED:
            _end_run(leftover.run_id, state_machine_arn, gateways)
        case Kind.JOB_NOT_ENDED:
            _end_job(leftover, gateways)
        case Kind.JOB_NOT_SETTLED:
            settle_job(gateways.record.get_job(leftover.run_id, leftover.job or ""), gateways)
        case Kind.JOB_RUN_LEFT:
            _end_job_run(leftover, gateways)
        case Kind.APPLICATION_LEFT:
            gateways.record.mark_released(leftover.application_id or "")
            release_application(leftover.application_id or "", gateways.emr)
        case Kind.CLUSTER_LEFT:
            _release_cluster(leftover, gateways)
        case Kind.STACK_LEFT:
            gateways.stacks.delete(leftover.stack or "")
        case Kind.SLOT_LEFT:
            grant_slots(leftover.pipeline or "", gateways.record, gateways.slots, gateways.step_functions)


def _end_run(run_id: str, state_machine_arn: str, gateways: RunGateways) -> None:
    """Clean up after a run with the end that its execution has come to."""
    arn = execution_arn(state_machine_arn, run_id)
    execution = gateways.step_functions.describe_execution(arn)
    if execution and execution.stopped_at is None:
        return  # somebody has redriven it meanwhile
    if execution:
        end = end_of_execution(execution.status, execution.error, readable_cause(execution.cause))
    else:
        end = FAILED, RunLostError.__name__, "The execution of the run does not exist any more."
    clean_up(
        Run.begin(run_id, arn, execution.run_input if execution else {}, execution.started_at if execution else None),
        gateways,
        state=end[0],
        error=end[1],
        cause=end[2],
    )


def _end_job(leftover: Leftover, gateways: JobGateways) -> None:
    """Give a job the end that EMR tells; cancel it when its run has ended and EMR tells none."""
    job = gateways.record.get_job(leftover.run_id, leftover.job or "")
    run = gateways.record.get_run(leftover.run_id)
    if run is None or not run.ended:
        ask_emr(job, gateways)
        return
    job = cancel_job(job, run.why_stopping, gateways)
    if job.ended:
        settle_job(job, gateways)


def _end_job_run(leftover: Leftover, gateways: JobGateways) -> None:
    """Cancel a job run, by way of its job unless the record does not know it or takes it for ended."""
    job = gateways.record.get_job(leftover.run_id, leftover.job) if leftover.job else None
    if job and not job.ended:
        _end_job(leftover, gateways)
        return
    service: JobService = gateways.service_of(job) if job else gateways.emr
    try:
        service.cancel_job_run(leftover.application_id or "", leftover.job_run_id or "")
    except RequestRefusedError:
        return  # it has ended by itself: the next sweep sees whether the record knows


def _release_cluster(leftover: Leftover, gateways: RunGateways) -> None:
    """Release the cluster of a run; also a second one, which came about when the answer about the first was lost."""
    run = gateways.record.get_run(leftover.run_id)
    if run:
        release_cluster(run, gateways.clusters, gateways.stacks)
    if run is None or run.application_id != leftover.application_id:
        gateways.clusters.terminate_cluster(leftover.application_id or "")
