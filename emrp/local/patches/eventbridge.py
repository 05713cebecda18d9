"""EventBridge: events that a target does not take are not lost.

ministack invokes a Lambda target once, whatever comes of it, and knows no dead-letter queue of a target. Here the
function is invoked asynchronously as Lambda does it (two retries, then its own dead-letter queue or failure
destination), and an event whose target does not exist goes to the dead-letter queue of the rule's target.

It also keeps a list of all events, which nobody can read.
"""

from collections.abc import Callable
from typing import Any

from ministack.core.arn import ArnParseError, parse_arn
from ministack.services import eventbridge, lambda_svc, sns, sqs, stepfunctions

from emrp.local.patches.anchors import edit, replace

_THREAD_PER_EVENT = """    threading.Thread(
        target=lambda_svc._execute_function_with_config_scope, args=(exec_record, event), daemon=True
    ).start()
"""
_ATTRIBUTES = "emrp:MessageAttributes"  # how they travel in a target's SqsParameters
_EXISTS: dict[str, Callable[[str], object]] = {
    "lambda": lambda arn: lambda_svc._get_func_record_for_ref(arn)[0],
    "sqs": sqs._queue_by_arn,
    "sns": sns._topic_by_arn_any_scope,
    "states": stepfunctions._resolve_state_machine_arn,
}

Json = dict[str, Any]


def install() -> None:
    """Retry failed targets, or keep what they did not take; keep nothing else."""
    edit(eventbridge, "_put_events", ("        _events_log_list().append(event_record)\n", ""))
    edit(
        eventbridge,
        "_dispatch_to_lambda",
        (_THREAD_PER_EVENT, "    lambda_svc.invoke_async_with_retry(exec_record, event)\n"),
    )
    edit(
        eventbridge,
        "_dispatch_to_sqs",
        (
            '        "message_attributes": {},\n',
            '        "message_attributes": attributes,\n        "md5_attrs": _sqs._md5_msg_attrs(attributes),\n',
        ),
        (
            "sqs_parameters or {}\n",
            f"sqs_parameters or {{}}\n    attributes = sqs_parameters.get({_ATTRIBUTES!r}, {{}})\n",
        ),
    )
    replace(eventbridge, "_invoke_target", "550e304af080", _with_dead_letters)


def dead_letter_target(target: Json, rule: Json, code: str, message: str) -> Json | None:
    """Return what gets an event in the place of a target that does not take it; None when that is nobody."""
    queue = target.get("DeadLetterConfig", {}).get("Arn")
    if not queue:
        return None
    texts = {"RULE_ARN": rule["Arn"], "TARGET_ARN": target["Arn"], "ERROR_CODE": code, "ERROR_MESSAGE": message}
    attributes = {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
    return {**target, "Arn": queue, "SqsParameters": {_ATTRIBUTES: attributes}}


def _with_dead_letters(invoke: Callable[..., None]) -> Callable[..., None]:
    def invoke_target(target: Json, event: Json, rule: Json, view: object = None) -> None:
        if not _exists(target["Arn"]):
            problem = "NO_RESOURCE", "The target does not exist."
            target = dead_letter_target(target, rule, *problem) or target
        invoke(target, event, rule, view)

    return invoke_target


def _exists(arn: str) -> bool:
    try:
        find = _EXISTS.get(parse_arn(arn).service)
    except ArnParseError:
        return False
    return find is None or bool(find(arn))
