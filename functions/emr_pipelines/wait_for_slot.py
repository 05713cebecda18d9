"""A run waits until its pipeline's `concurrency` lets it in; the run that ends before it wakes it."""

from emr_pipelines.errors import RunTimedOutError
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.run_slot import grant_slots, stop_surplus


def wait_for_slot(
    run_id: str, task_token: str, *, record: RunRecord, slots: RunSlots, step_functions: StepFunctions
) -> None:
    """Queue a run up; its token is answered when it has a slot, at once when one is free.

    Raises RunTimedOutError once the run was to end.
    """
    run = record.get_run(run_id)
    if run is None:
        raise LookupError(f"There is no run {run_id}.")
    if run.is_late:
        raise RunTimedOutError(f"The run was to end by {run.deadline}.")
    slots.queue_up(run, task_token)
    if run.concurrency["policy"] == "cancelOldest":
        stop_surplus(run, record, slots, step_functions)
    grant_slots(run.pipeline, record, slots, step_functions)
