"""A message of the trigger queue becomes executions of the outer state machine: one for each pipeline it is for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from emr_pipelines.domain_event import trigger_rejected
from emr_pipelines.errors import InvalidTriggerError, PipelineNotFoundError, RequestRefusedError
from emr_pipelines.event_chain import chain_of
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.manifests import Manifests
from emr_pipelines.gateways.pipeline_registry import Registered
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.gateways.trigger_queue import TriggerQueue
from emr_pipelines.gateways.upload_batches import UploadBatches
from emr_pipelines.triggers import Flush, Request, Upload, UploadRule, parse_message
from emr_pipelines.upload_batch import collect_upload, flush_batches

# Step Functions takes up to 256 KB of input, and a message may be larger.
_INPUT_REFUSED = ("InvalidExecutionInput", "ValidationException")


@dataclass
class Started:
    """The runs that one message led to; `repeated` were started by an earlier delivery of it.

    `rejected` says why the message can never start a run. `ignored` is an upload that no pipeline wants.
    """

    started: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    rejected: str | None = None
    ignored: bool = False


def start_pipeline(
    body: str, pipelines: Sequence[Registered], *,
    record: RunRecord, batches: UploadBatches, manifests: Manifests, queue: TriggerQueue, events: DomainEvents,
    step_functions: StepFunctions, state_machine_arn: str,
) -> Started:  # fmt: skip
    """Start the runs that a message asks for; safe to repeat, since the same cause gives the same run names.

    A message that can never start a run is put aside at once, and people are told.
    """
    result = Started()
    try:
        message = parse_message(body)
        result.ignored = isinstance(message, Upload) and not rules_for(message, pipelines)
        for request in _requests(
            message, pipelines, record=record, batches=batches, manifests=manifests, queue=queue
        ):  # fmt: skip
            is_new = _start(request, step_functions=step_functions, state_machine_arn=state_machine_arn)
            (result.started if is_new else result.repeated).append(request.run_name)
    except InvalidTriggerError as error:
        events.publish(trigger_rejected(body, error))
        queue.reject(body, source=error.source, reason=str(error))
        result.rejected = str(error)
    return result


def _requests(
    message: Upload | Request | Flush, pipelines: Sequence[Registered], *,
    record: RunRecord, batches: UploadBatches, manifests: Manifests, queue: TriggerQueue,
) -> Iterator[Request]:  # fmt: skip
    """Yield the runs to start; each must have been started before the next one is asked for."""
    match message:
        case Upload():
            for pipeline, rule in rules_for(message, pipelines):
                collection = rule.collection(pipeline)
                if collection is None:
                    yield Request(pipeline=pipeline, trigger=message.as_trigger(), cause=message.cause)
                else:
                    yield from collect_upload(
                        message, collection, rule.max_wait_seconds,
                        batches=batches, manifests=manifests, queue=queue,
                    )  # fmt: skip
        case Flush():
            yield from flush_batches(message, batches=batches, manifests=manifests)
        case Request():
            yield _checked(message, pipelines, record=record)


def rules_for(upload: Upload, pipelines: Sequence[Registered]) -> list[tuple[str, UploadRule]]:
    """Name the pipelines that want an upload, each with the first of its rules that matches."""
    matching: dict[str, UploadRule] = {}
    for pipeline in pipelines:
        for entry in pipeline.triggers.get("uploads", []):
            rule = UploadRule.read(entry)
            if rule.matches(upload):
                matching.setdefault(pipeline.name, rule)
    return list(matching.items())


def _checked(request: Request, pipelines: Sequence[Registered], *, record: RunRecord) -> Request:
    """Return a request that may start a run, with what is known of its history."""
    kind = request.trigger["type"]
    pipeline = next((known for known in pipelines if known.name == request.pipeline), None)
    if pipeline is None:
        unknown = PipelineNotFoundError(request.pipeline, [known.name for known in pipelines])
        raise InvalidTriggerError(str(unknown), kind, request.pipeline)
    if kind == "message" and not pipeline.triggers.get("messages"):
        raise InvalidTriggerError(
            f'the pipeline "{pipeline.name}" takes no messages: set "messages: true" below its triggers',
            kind,
            pipeline.name,
        )
    if kind != "event":
        return request
    chain = chain_of(request.trigger["event"], record)
    if pipeline.name in chain:
        loop = " -> ".join([*chain[chain.index(pipeline.name) :], pipeline.name])
        raise InvalidTriggerError(f"pipelines would start each other for ever: {loop}", kind, pipeline.name)
    return replace(request, trigger={**request.trigger, "chain": chain})


def _start(request: Request, *, step_functions: StepFunctions, state_machine_arn: str) -> bool:
    try:
        return step_functions.start_execution(state_machine_arn, request.run_name, request.run_input)
    except RequestRefusedError as error:
        if error.code in _INPUT_REFUSED:
            raise InvalidTriggerError(str(error), request.trigger["type"], request.pipeline) from error
        raise
