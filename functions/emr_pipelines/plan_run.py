"""A pipeline file, parameters and a trigger become the jobs of one run."""

from typing import Any

from emr_pipelines.errors import InvalidRunInputError
from emr_pipelines.gateways.pipeline_bucket import PipelineBucket
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.plan import plan
from emr_pipelines.run import Run
from emr_pipelines.stack import Stack


def plan_run(
    run_id: str, execution_arn: str, run_input: object, *,
    record: RunRecord, bucket: PipelineBucket, stack: Stack,
) -> dict[str, Any]:  # fmt: skip
    """Record the run and its jobs, and return `{"runId", "jobs": [name, ...]}`.

    Raises InvalidRunInputError, PipelineNotFoundError, or InvalidPipelineError with every problem of the file. The
    run is recorded first, so a run that fails here is known, too.
    """
    run = record.create_run(Run.begin(run_id, execution_arn, run_input))
    _check_input(run_input)
    run, jobs = plan(run, bucket.read(run.pipeline), stack)
    record.save_plan(run, jobs)
    return {"runId": run_id, "jobs": [job.name for job in jobs]}


def _check_input(run_input: object) -> None:
    for name in ("parameters", "trigger"):
        value = run_input.get(name) if isinstance(run_input, dict) else None
        if value is not None and not isinstance(value, dict):
            raise InvalidRunInputError(name, value)
