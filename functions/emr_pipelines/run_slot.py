"""The overlap policy of a pipeline: its runs get the slots that `concurrency.limit` allows, in order."""

from emr_pipelines.errors import RunQueuedError, RunSkippedError
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.run import Run


def refusal_of_slot(run: Run, record: RunRecord, slots: RunSlots) -> RunQueuedError | RunSkippedError | None:
    """Give a run its slot, or return why it cannot go on now: it has to wait, or is not to run at all."""
    if not run.concurrency:
        return None
    first_in_line = run.run_id in slots.holders(run.pipeline) or not slots.queue(run.pipeline)
    if first_in_line and slots.take(run):
        return None
    _forget_ended_holders(run.pipeline, record, slots)
    if first_in_line and slots.take(run):
        return None
    running = ", ".join(sorted(slots.holders(run.pipeline)))
    limit = f"{run.pipeline} allows {run.concurrency['limit']} at a time; running: {running}"
    if run.concurrency["policy"] == "skip":
        return RunSkippedError(f"The run was skipped: {limit}.")
    return RunQueuedError(f"The run waits: {limit}.")


def grant_slots(pipeline: str, record: RunRecord, slots: RunSlots, step_functions: StepFunctions) -> None:
    """Give the free slots of a pipeline to the runs that wait, in the order in which they started.

    Called whenever a run queues up or gives its slot back: each writes first and looks then, so no slot stays free
    while a run waits.
    """
    _forget_ended_holders(pipeline, record, slots)
    for run_id, task_token in slots.queue(pipeline):
        run = record.get_run(run_id)
        if run is None:
            continue
        if not run.ended:
            if not slots.take(run):
                return
            step_functions.send_success(task_token, {"runId": run_id})
        slots.leave_queue(run)


def stop_surplus(run: Run, record: RunRecord, slots: RunSlots, step_functions: StepFunctions) -> None:
    """Stop the oldest runs of a pipeline whose policy is cancelOldest, so that a new one finds a slot."""
    active = [record.get_run(run_id) for run_id in slots.holders(run.pipeline)]
    active += [record.get_run(run_id) for run_id, _ in slots.queue(run.pipeline)]
    unique = {other.run_id: other for other in active if other and not other.ended}
    oldest_first = sorted(unique.values(), key=lambda other: (other.started_at, other.run_id))
    surplus = oldest_first[: max(0, len(oldest_first) - int(run.concurrency["limit"]))]
    for other in surplus:
        cause = f"cancelOldest: {run.run_id} took its place"
        step_functions.stop_execution(other.execution_arn, "RunCancelledError", cause)


def _forget_ended_holders(pipeline: str, record: RunRecord, slots: RunSlots) -> None:
    """Free the slots of runs that have ended without giving theirs back."""
    for run_id in slots.holders(pipeline):
        holder = record.get_run(run_id)
        if holder is None or holder.ended:
            slots.give_back(pipeline, run_id)
