"""The last step before a job is submitted: texts that need the outputs of other jobs are rendered."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from emr_pipelines.errors import InvalidPipelineError, Problem
from emr_pipelines.gateways.job_outputs import JobOutputs
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, Run
from emr_pipelines.stack import Stack
from emr_pipelines.templates import render_deferred


def complete_request(job: Job, run: Run, *, record: RunRecord, outputs: JobOutputs, stack: Stack) -> dict[str, Any]:
    """Return the StartJobRun request of a job whose upstream jobs have ended.

    Raises InvalidPipelineError when something cannot be rendered, and OutputUnavailableError when a job has not left
    the output that is asked for.
    """
    if not job.deferred:
        return job.request
    others = [_JobInScope(other, outputs.read) for other in record.list_jobs(run.run_id)]
    scope: dict[str, Any] = {
        "trigger": run.trigger,
        "parameters": run.parameters,
        "run": {"id": run.origin, "output": run.output},
        "stack": {"name": stack.name, "bucket": stack.bucket},
        "job": {"name": job.name, "outputUri": job.output_uri},
        "item": job.item,
        "jobs": _by_definition(job, others),
    }
    previous = next((other for other in others if other.job.name == _previous_name(job)), None)
    if previous:
        scope["previous"] = previous
    problems: list[Problem] = []
    request: dict[str, Any] = render_deferred(job.request, job.deferred, scope, problems)
    if problems:
        raise InvalidPipelineError(run.pipeline_file or run.pipeline, problems)
    return request


class _JobInScope(Mapping[str, Any]):
    """What templates see of another job; its output is read when it is asked for."""

    _FIELDS = ("name", "state", "outputUri", "output")

    def __init__(self, job: Job, read: Callable[[str, str], Any]) -> None:
        self.job = job
        self._read = read

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - an output is any JSON value
        if name == "output":
            return self._read(self.job.name, self.job.output_uri or "")
        values = {"name": self.job.name, "state": self.job.state, "outputUri": self.job.output_uri}
        return values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._FIELDS)

    def __len__(self) -> int:
        return len(self._FIELDS)


def _by_definition(job: Job, others: list[_JobInScope]) -> dict[str, Any]:
    """Return the jobs by their names in the pipeline file: one, or for a loop the list of its iterations.

    Inside a loop, the name of another job of the loop is the one of the same iteration. A loop over nothing is left
    out: its one job, which has no request, is none of its iterations.
    """
    found: dict[str, Any] = {}
    for other in (other for other in others if other.job.request):
        name = other.job.definition
        if other.job.loop is None:
            found[name] = other
        elif other.job.loop == job.loop:
            if _iteration(other.job) == _iteration(job):
                found[name] = other
        else:
            found.setdefault(name, []).append(other)
    return found


def _iteration(job: Job) -> str:
    return job.name.removeprefix(f"{job.definition}.")


def _previous_name(job: Job) -> str | None:
    iteration = _iteration(job)
    return f"{job.definition}.{int(iteration) - 1}" if job.loop and iteration.isdigit() else None
