"""What clean-up and events have missed, concluded from an inventory alone."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from emr_pipelines.clock import iso_time
from emr_pipelines.gateways.cluster_stacks import ObservedStack
from emr_pipelines.gateways.emr_on_ec2 import ObservedCluster
from emr_pipelines.gateways.emr_serverless import ObservedApplication
from emr_pipelines.inventory import Inventory
from emr_pipelines.job_state import is_final
from emr_pipelines.run import Job, Run
from emr_pipelines.stack import RUN_TAG

# What is not known of a run may only be so new that Step Functions or the record do not show it yet.
_ORPHAN_AFTER = timedelta(hours=1)


class Kind(StrEnum):
    """The ways in which something is left."""

    RUN_NOT_ENDED = "RUN_NOT_ENDED"
    JOB_NOT_ENDED = "JOB_NOT_ENDED"
    JOB_NOT_SETTLED = "JOB_NOT_SETTLED"
    JOB_RUN_LEFT = "JOB_RUN_LEFT"
    APPLICATION_LEFT = "APPLICATION_LEFT"
    CLUSTER_LEFT = "CLUSTER_LEFT"
    STACK_LEFT = "STACK_LEFT"
    SLOT_LEFT = "SLOT_LEFT"


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing that is left of a run; the kind says which of the other fields name it."""

    kind: Kind
    run_id: str
    why: str
    job: str | None = None
    application_id: str | None = None
    job_run_id: str | None = None
    pipeline: str | None = None
    stack: str | None = None

    def __str__(self) -> str:
        what = {
            Kind.RUN_NOT_ENDED: f"run {self.run_id}",
            Kind.JOB_NOT_ENDED: f"job {self.job} of run {self.run_id}",
            Kind.JOB_NOT_SETTLED: f"job {self.job} of run {self.run_id}",
            Kind.JOB_RUN_LEFT: f"job run {self.job_run_id} of run {self.run_id}",
            Kind.APPLICATION_LEFT: f"application {self.application_id} of run {self.run_id}",
            Kind.CLUSTER_LEFT: f"cluster {self.application_id} of run {self.run_id}",
            Kind.STACK_LEFT: f"stack {self.stack} of run {self.run_id}",
            Kind.SLOT_LEFT: f"slot of pipeline {self.pipeline}",
        }[self.kind]
        return f"{what}: {self.why}"

    def as_json(self) -> dict[str, str]:
        """Return it for logs, events and scripts."""
        return {**{name: value for name, value in asdict(self).items() if value is not None}, "text": str(self)}


def find_leftovers(inventory: Inventory, at: datetime, grace: timedelta) -> list[Leftover]:
    """Return everything that has been left for longer than `grace`, in which clean-up and events do their work."""
    return list(_Search(inventory, iso_time(at - grace), iso_time(at - max(grace, _ORPHAN_AFTER))).leftovers())


def find_closed_runs(inventory: Inventory, at: datetime, grace: timedelta) -> list[str]:
    """Return the open runs of which nothing is open any more, or nothing is left but their names.

    One without jobs may have been stopped while it was planned, and its jobs come yet.
    """
    closed, before = [], iso_time(at - grace)
    for run_id in inventory.open_runs:
        run = inventory.runs.get(run_id)
        if run:
            jobs = inventory.jobs[run_id]
            is_planned = jobs or (run.ended_at or "") < before
            is_closed = run.settled and bool(is_planned) and all(job.settled for job in jobs)
        else:
            is_closed = inventory.executions.get(run_id, run_id) is None
        closed += [run_id] if is_closed else []
    return closed


@dataclass(frozen=True)
class _Search:
    inventory: Inventory
    before: str
    orphans_before: str

    def leftovers(self) -> Iterator[Leftover]:
        """Yield the leftovers, those first whose removal removes others."""
        yield from self._dead_runs()
        for run_id in self.inventory.open_runs:
            run = self.inventory.runs.get(run_id)
            if run and run.ended:
                yield from self._of_ended_run(run)
            elif run and run_id not in self.inventory.executions:
                yield from self._of_living_run(run)
        yield from self._job_runs()
        yield from self._resources()
        yield from self._slots()

    def _dead_runs(self) -> Iterator[Leftover]:
        """Yield the runs that have not ended in the record although they are not alive."""
        for run_id, execution in self.inventory.executions.items():
            run = self.inventory.runs.get(run_id)
            if execution is None:
                if run and run.started_at < self.orphans_before:
                    yield Leftover(kind=Kind.RUN_NOT_ENDED, run_id=run_id, why="its execution does not exist any more")
            elif (
                execution.stopped_at and execution.stopped_at < self.before and (run or execution.status != "SUCCEEDED")
            ):
                known = f"is {run.state} in the run record" if run else "is not in the run record"
                why = f"its execution ended {execution.status}, but it {known}"
                yield Leftover(kind=Kind.RUN_NOT_ENDED, run_id=run_id, why=why)

    def _of_ended_run(self, run: Run) -> Iterator[Leftover]:
        if not self._is_over(run.run_id):
            return
        if not run.settled:
            yield Leftover(kind=Kind.RUN_NOT_ENDED, run_id=run.run_id, why="its end was never published")
        on_emr = {job_run.job_run_id for job_run in self.inventory.job_runs}
        for job in self.inventory.jobs[run.run_id]:
            if not job.ended and job.job_run_id not in on_emr:
                why = f"the run has ended, but the job is {job.state} in the run record"
                yield Leftover(kind=Kind.JOB_NOT_ENDED, run_id=run.run_id, job=job.name, why=why)
            elif job.ended and not job.settled:
                yield self._unsettled(job)

    def _of_living_run(self, run: Run) -> Iterator[Leftover]:
        """Yield the jobs that have ended, and the run does not know."""
        for job in self.inventory.jobs[run.run_id]:
            if job.job_run_id in self.inventory.ended_job_runs:
                observed = self.inventory.ended_job_runs[job.job_run_id]
                if observed is None or (is_final(observed.state) and observed.observed_at < self.before):
                    state = f"has ended {observed.state}" if observed else "is gone"
                    why = f"its job run {state}, but the job is {job.state} in the run record"
                    yield Leftover(kind=Kind.JOB_NOT_ENDED, run_id=run.run_id, job=job.name, why=why)
            # Without an execution of its own it was planned as skipped, which the run's end publishes.
            elif job.ended and not job.settled and job.execution_arn and (job.ended_at or "") < self.before:
                yield self._unsettled(job)

    def _unsettled(self, job: Job) -> Leftover:
        why = f"it has ended {job.state}, but nobody was told"
        return Leftover(kind=Kind.JOB_NOT_SETTLED, run_id=job.run_id, job=job.name, why=why)

    def _job_runs(self) -> Iterator[Leftover]:
        for job_run in self.inventory.job_runs:
            if self._is_over(job_run.run_id, job_run.created_at):
                yield Leftover(
                    kind=Kind.JOB_RUN_LEFT,
                    run_id=job_run.run_id,
                    job=job_run.job.name if job_run.job else None,
                    application_id=job_run.application_id,
                    job_run_id=job_run.job_run_id,
                    why=f"it has not ended, but {self._end_of(job_run.run_id)}",
                )

    def _resources(self) -> Iterator[Leftover]:
        """Yield what runs have had for themselves."""
        for application in self.inventory.applications:
            ids = {"application_id": application.application_id}
            yield from self._left(Kind.APPLICATION_LEFT, application, application.state, ids)
        for cluster in self.inventory.clusters:
            yield from self._left(Kind.CLUSTER_LEFT, cluster, cluster.state, {"application_id": cluster.cluster_id})
        for stack in self.inventory.stacks:
            yield from self._left(Kind.STACK_LEFT, stack, stack.status, {"stack": stack.name})

    def _left(
        self, kind: Kind, found: ObservedApplication | ObservedCluster | ObservedStack, state: str, ids: dict[str, str]
    ) -> Iterator[Leftover]:
        run_id = found.tags[RUN_TAG]
        if self._is_over(run_id, found.created_at):
            yield Leftover(kind=kind, run_id=run_id, why=f"it is {state}, but {self._end_of(run_id)}", **ids)

    def _slots(self) -> Iterator[Leftover]:
        for pipeline, slots in self.inventory.slots.items():
            for run_id in sorted(slots.holders):
                if self._is_over(run_id):
                    why = f"run {run_id} holds it, but {self._end_of(run_id)}"
                    yield Leftover(kind=Kind.SLOT_LEFT, run_id=run_id, pipeline=pipeline, why=why)
            first = self.inventory.runs.get(slots.queue[0]) if slots.queue else None
            if first and first.started_at < self.before and len(slots.holders) < slots.limit:
                why = f"it is free, but run {first.run_id} waits for it"
                yield Leftover(kind=Kind.SLOT_LEFT, run_id=first.run_id, pipeline=pipeline, why=why)

    def _is_over(self, run_id: str, created_at: str = "") -> bool:
        """Tell whether a run has been over for so long that nothing of it may be left.

        A run that is dead but has not ended in the record is not: it is ended first, which removes what it has left.
        """
        run = self.inventory.runs.get(run_id)
        if run:
            return (run.ended_at or "") < self.before if run.ended else False
        if run_id not in self.inventory.executions or created_at >= self.orphans_before:
            return False
        execution = self.inventory.executions[run_id]
        return execution is None or (execution.stopped_at or self.before) < self.before

    def _end_of(self, run_id: str) -> str:
        run = self.inventory.runs.get(run_id)
        return f"the run has ended {run.state}" if run else "there is no such run"
