"""A message of the trigger queue becomes executions of the outer state machine: one for each pipeline it is for."""

from dataclasses import dataclass

from emr_pipelines.gateways.pipeline_bucket import PipelineBucket
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.triggers import Upload, parse_message, upload_rules


@dataclass(frozen=True)
class Started:
    """The runs that one message led to; `repeated` were started by an earlier delivery of it."""

    upload: Upload
    started: list[str]
    repeated: list[str]

    @property
    def ignored(self) -> bool:
        """Tell whether no pipeline wanted the upload."""
        return not self.started and not self.repeated


def start_pipeline(
    body: str, *, bucket: PipelineBucket, step_functions: StepFunctions, state_machine_arn: str
) -> Started:
    """Start the runs that an upload asks for; safe to repeat, since the same upload gives the same run names."""
    upload = parse_message(body)
    result = Started(upload, [], [])
    for pipeline in _pipelines_for(upload, bucket):
        name = upload.run_name(pipeline)
        run_input = {"pipeline": pipeline, "trigger": upload.as_trigger()}
        is_new = step_functions.start_execution(state_machine_arn, name, run_input)
        (result.started if is_new else result.repeated).append(name)
    return result


def _pipelines_for(upload: Upload, bucket: PipelineBucket) -> list[str]:
    """Name the pipelines whose rules match.

    While nobody claims the upload, a pipeline whose rules cannot be read might: its run starts, and fails with what
    is wrong with its file. An upload must not vanish because of a typing error.
    """
    rules = {file.name: upload_rules(file.text) for file in bucket.read_all()}
    matching = [name for name, known in rules.items() if known and any(rule.matches(upload) for rule in known)]
    return matching or [name for name, known in rules.items() if known is None]
