"""One invocation of a schedule's target: the API call that EventBridge Scheduler makes with the schedule's role.

The call comes back to this server as any client's would, so permissions and errors are those of the target's service.
What fails is retried as the schedule's RetryPolicy says, and ends in its dead-letter queue.
"""

import json
import logging
import os
import time
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from itertools import count
from typing import Any, Self
from uuid import uuid4

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session
from ministack.core.arn import parse_arn

from emrp.local import iam

Json = dict[str, Any]

_RETRIES, _RETRY_SECONDS = 185, 86400  # AWS's defaults
_LONGEST_BACKOFF = 60.0
_OTHER_NAMES = {"cloudwatchlogs": "logs", "eventbridge": "events", "sfn": "stepfunctions"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Caller:
    """Who makes the call, and where."""

    account: str
    region: str
    role_arn: str

    @classmethod
    def of(cls, schedule: Json) -> Self:
        arn = parse_arn(schedule["Arn"])
        return cls(arn.account_id, arn.region, schedule["Target"]["RoleArn"])


def invoke(schedule: Json, due: datetime) -> None:
    """Invoke the target until it takes the invocation or the retry policy is exhausted."""
    target = schedule["Target"]
    policy = target.get("RetryPolicy") or {}
    retries = policy.get("MaximumRetryAttempts", _RETRIES)
    deadline = time.monotonic() + policy.get("MaximumEventAgeInSeconds", _RETRY_SECONDS)
    for attempt in count(1):
        context = {
            "schedule-arn": schedule["Arn"],
            "scheduled-time": f"{due:%Y-%m-%dT%H:%M:%SZ}",
            "execution-id": uuid4().hex[:16],
            "attempt-number": str(attempt),
        }
        payload = _payload(target, context)
        try:
            _call(target, payload, _Caller.of(schedule))
        except (ClientError, BotoCoreError, LookupError, ValueError) as error:
            log.warning("%s: attempt %d has failed: %s", schedule["Arn"], attempt, error)
            pause = min(2.0 ** (attempt - 1), _LONGEST_BACKOFF)
            too_old = time.monotonic() + pause > deadline
            if attempt > retries or too_old:
                exhausted = "MaximumEventAgeInSeconds" if too_old else "MaximumRetryAttempts"
                _give_up(schedule, payload, error, context, exhausted)
                return
            time.sleep(pause)
        else:
            return


def _payload(target: Json, context: dict[str, str]) -> str:
    """Return the target's input with AWS's keywords replaced; a target without one gets an event."""
    payload = target.get("Input")
    if payload is None:
        arn = parse_arn(context["schedule-arn"])
        return json.dumps(
            {
                "version": "0",
                "id": str(uuid4()),
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": arn.account_id,
                "time": context["scheduled-time"],
                "region": arn.region,
                "resources": [context["schedule-arn"]],
                "detail": "{}",
            }
        )
    text: str = payload
    for name, value in context.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _call(target: Json, payload: str, caller: _Caller) -> None:
    """Make the call that a target stands for; raises ValueError for one that is not known here."""
    arn = parse_arn(target["Arn"])
    client = partial(_client, caller)
    match arn.service:
        case "sqs":
            parameters = {"QueueUrl": _queue_url(target["Arn"]), "MessageBody": payload}
            client("sqs").send_message(**parameters, **target.get("SqsParameters", {}))
        case "lambda":
            client("lambda").invoke(FunctionName=target["Arn"], InvocationType="Event", Payload=payload)
        case "sns":
            client("sns").publish(TopicArn=target["Arn"], Message=payload)
        case "states":
            client("stepfunctions").start_execution(stateMachineArn=target["Arn"], input=payload)
        case "events":
            entry = target["EventBridgeParameters"] | {"EventBusName": target["Arn"], "Detail": payload}
            client("events").put_events(Entries=[entry])
        case "scheduler":
            _, service, action = arn.resource.split(":")
            call = getattr(client(_name_in_botocore(service)), xform_name(action), None)
            if call is None:
                raise ValueError(f"{service} has no operation {action}.")
            call(**json.loads(payload))
        case other:
            raise ValueError(f"{other} is no target of the local Scheduler.")


def _name_in_botocore(service: str) -> str:
    """Return botocore's name for the name that universal targets have, like emrserverless."""
    names = {name.replace("-", ""): name for name in get_session().get_available_services()}
    return _OTHER_NAMES.get(service) or names.get(service, service)


@lru_cache(maxsize=64)
def _client(caller: _Caller, service: str) -> Any:  # noqa: ANN401 -- clients are made at run time
    keys: Json = {"aws_access_key_id": caller.account, "aws_secret_access_key": "test"}
    if iam.is_enforced():
        keys = {name.lower(): value for name, value in iam.role_credentials(caller.role_arn, "scheduler").items()}
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
    return get_session().create_client(service, region_name=caller.region, config=config, **keys)


def _queue_url(arn: str) -> str:
    queue = parse_arn(arn)
    return f"{os.environ['AWS_ENDPOINT_URL']}/{queue.account_id}/{queue.resource}"


def _give_up(schedule: Json, payload: str, error: Exception, context: dict[str, str], exhausted: str) -> None:
    """Leave what was not taken in the dead-letter queue, with the attributes that AWS gives it."""
    target = schedule["Target"]
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    log.error("%s: given up after %s attempts: %s", schedule["Arn"], context["attempt-number"], error)
    if not queue:
        return
    known = error.response["Error"] if isinstance(error, ClientError) else {}
    attributes = {
        "ERROR_CODE": known.get("Code", type(error).__name__),
        "ERROR_MESSAGE": known.get("Message", str(error)),
        "EXECUTION_ID": context["execution-id"],
        "EXHAUSTED_RETRY_CONDITION": exhausted,
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": str(int(context["attempt-number"]) - 1),
        "SCHEDULED_TIME": context["scheduled-time"],
        "SCHEDULE_ARN": schedule["Arn"],
        "TARGET_ARN": target["Arn"],
    }
    try:
        _client(_Caller.of(schedule), "sqs").send_message(
            QueueUrl=_queue_url(queue),
            MessageBody=payload,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except (ClientError, BotoCoreError) as lost:
        log.error("%s: the dead-letter queue does not take it: %s", schedule["Arn"], lost)  # noqa: TRY400 -- expected
