"""`emrp trigger`: sends an example of what starts a run to the stack, on the way that it would come itself."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import boto3
import typer
from emr_pipelines.errors import InvalidTriggerError
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.run import execution_arn
from emr_pipelines.start_pipeline import rules_for
from emr_pipelines.triggers import Request, Upload, parse_message, run_name

from emrp.command_line import AsJson, Target, print_json
from emrp.errors import EXIT_ENVIRONMENT, UsageError
from emrp.stack import Stack

EXAMPLES = (
    "Examples: emrp trigger events/start_pipeline.s3_object_created.json; "
    "emrp trigger events/plan_run.console.json --as-is --json"
)
_DEADLINE_SECONDS = 60.0
SENT, STARTED, PRESENT, MISSING = "SENT", "STARTED", "PRESENT", "MISSING"
_SENTENCES = {
    STARTED: "Started {0}. Follow it with: {1} watch {0}",
    PRESENT: "{0} was started before by the same message, so nothing new starts: leave --as-is out for a new run.",
    MISSING: "{0} has not started: see whether the message was rejected, with: {1} dlq list",
}
_NOTHING = "Sent. No run starts at once: no pipeline wants this, or it waits for its batch."

Document = dict[str, Any]

ExampleFile = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="One of the files in events/, or alike.")
]
AsIs = Annotated[
    bool,
    typer.Option("--as-is", help="Change no id and no time: what was sent before then starts nothing."),
]


def trigger_command(
    context: typer.Context,
    file: ExampleFile,
    as_is: AsIs = False,
    as_json: AsJson = False,
) -> None:
    """Send an example of what starts runs: to the trigger queue, the trigger topic, or as an execution."""
    target: Target = context.obj
    stack = target.stack()
    runs: dict[str, str] = {}
    for document in _documents(file):
        runs |= _send(document, stack, as_is=as_is)
    for run_id in [run_id for run_id, state in runs.items() if state == SENT]:
        runs[run_id] = STARTED if _starts(run_id, stack, target.follow_seconds) else MISSING
    if as_json:
        print_json({"runs": [{"runId": run_id, "state": state} for run_id, state in runs.items()]})
    else:
        for line in [_SENTENCES[state].format(run_id, stack.command) for run_id, state in runs.items()] or [_NOTHING]:
            typer.echo(line)
    if MISSING in runs.values():
        raise typer.Exit(EXIT_ENVIRONMENT)


def _documents(file: Path) -> Iterator[Document]:
    """Yield what a file contains: the messages of an SQS event, the input of an execution, or either by itself."""
    try:
        document = json.loads(file.read_text())
        for record in document.get("Records", [document]):
            yield dict(json.loads(record["body"]) if "body" in record else record.get("input", record))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no JSON: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file} contains nothing that can be sent; the folder events/ has what can.") from error


def _send(document: Document, stack: Stack, *, as_is: bool) -> dict[str, str]:
    """Send something on its way, and return the runs that will start from it and those that did before."""
    if document.keys() & {"definition", "repair"} or ("pipeline" in document and "event" not in document):
        return {_start_execution(_for_stack(document, stack), stack): STARTED}
    if document.get("Type") == "Notification" and not as_is:
        answer = boto3.client("sns").publish(TopicArn=stack.trigger_topic_arn, Message=document["Message"])
        return dict.fromkeys(_run_ids({**document, "MessageId": answer["MessageId"]}, stack), SENT)
    message = _for_stack(document, stack)
    message = message if as_is else _as_new(message)
    runs = {run_id: PRESENT if _exists(run_id, stack) else SENT for run_id in _run_ids(message, stack)}
    boto3.client("sqs").send_message(QueueUrl=stack.trigger_queue_url, MessageBody=json.dumps(message))
    return runs


def _start_execution(run_input: Document, stack: Stack) -> str:
    definition = run_input.get("definition")
    pipeline = definition.get("name") if isinstance(definition, dict) else run_input.get("pipeline")
    run_id = f"{pipeline or 'repair'}-{uuid4().hex[:12]}"
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=stack.pipeline_state_machine_arn, name=run_id, input=json.dumps(run_input)
    )
    return run_id


def _for_stack(message: Document, stack: Stack) -> Document:
    """Return what is about an upload as the bucket of the stack would send it, and anything else as it is."""
    match message:
        case {"source": "aws.s3", "detail": {"bucket": _} as detail}:
            return {**message, "detail": {**detail, "bucket": {"name": stack.bucket}}}
        case {"trigger": {"type": "upload", "key": key} as trigger}:
            uri = f"s3://{stack.bucket}/{key}"
            return {**message, "trigger": {**trigger, "bucket": stack.bucket, "uri": uri}}
    return message


def _as_new(message: Document) -> Document:
    """Return a message that happens now, for the first time."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    match message:
        case {"source": "aws.s3", "detail": {"object": {**created}} as detail}:
            fresh = {**created, "sequencer": f"{time.time_ns():018X}"}
            return {**message, "id": str(uuid4()), "time": now, "detail": {**detail, "object": fresh}}
        case {"schedule": {**tick}}:
            return {**message, "schedule": {**tick, "scheduledTime": now, "digest": uuid4().hex[:10]}}
        case {"event": {**event}}:
            return {**message, "event": {**event, "id": str(uuid4()), "time": now}}
    return message


def _run_ids(message: Document, stack: Stack) -> list[str]:
    """Return the ids of the runs that `start_pipeline` gives a message; raises UsageError when it is no trigger."""
    try:
        trigger = parse_message(json.dumps(message))
    except InvalidTriggerError as error:
        raise UsageError(f"This starts nothing: {error}.") from error
    match trigger:
        case Request():
            return [trigger.run_name]
        case Upload():
            pipelines = PipelineRegistry(stack.run_table).list()
            return [
                run_name(pipeline, trigger.cause)
                for pipeline, rule in rules_for(trigger, pipelines)
                if rule.collection(pipeline) is None
            ]
    return []


def _starts(run_id: str, stack: Stack, every_seconds: float) -> bool:
    """Wait until an execution is there; return False when it does not come in time."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not (exists := _exists(run_id, stack)) and time.monotonic() < deadline:
        time.sleep(every_seconds)
    return exists


def _exists(run_id: str, stack: Stack) -> bool:
    return StepFunctions().describe_execution(execution_arn(stack.pipeline_state_machine_arn, run_id)) is not None
