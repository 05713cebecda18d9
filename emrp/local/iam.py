"""IAM, when the local AWS enforces it: functions, state machines and jobs may do what their roles allow.

ministack evaluates policies by itself (`AUTH=true`, with the keys `test` as the account's root) for whatever comes
in as a request. Here are the permissions that AWS asks for where no request is made (state machines, rules), and
what a request on this machine cannot have: TLS, and a signature by Spark's S3 client.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.arn import parse_arn
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, stepfunctions, sts

from emrp.local.patches.anchors import replace
from emrp.local.patches.eventbridge import dead_letter_target

Json = dict[str, Any]

_UNSIGNED = "Signature=unsigned"  # as Spark's S3 client has it
_NESTED_RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
_ACTION_OF_TARGET = {
    "arn:aws:lambda:": "lambda:InvokeFunction",
    "arn:aws:sns:": "sns:Publish",
    "arn:aws:sqs:": "sqs:SendMessage",
}
_machine_of_token: dict[str, str] = {}  # as long as the server lives: a late answer is refused for being late

log = logging.getLogger(__name__)


class AccessDenied(Exception):  # noqa: N818 -- names what is wrong
    """A role's policies do not allow what was tried; the message says what, as AWS does."""


@dataclass(frozen=True)
class Permission:
    """An action on a resource, with the condition keys that a policy may look at."""

    action: str
    resource: str
    context: Mapping[str, object] = field(default_factory=dict)


def is_enforced() -> bool:
    """Tell whether this server enforces IAM."""
    enforced: bool = app.AUTH
    return enforced


def install() -> None:
    """Complete what ministack enforces."""
    replace(app, "pin_request_origin", "de819c1bd9ac", _loopback_is_secure)
    replace(iam_evaluator, "authenticate", "42c3660c401b", _or_unsigned)
    replace(iam_actions, "extract_resource_arn", "82f51700695c", _or_as_aws_names_it)
    replace(iam_actions, "request_tag_context", "d46adb816e02", _and_details)
    stepfunctions._run_task = _as_the_machines_role(stepfunctions._run_task)
    eventbridge._invoke_target = _if_target_lets_events_in(eventbridge._invoke_target)


def role_credentials(role_arn: str, session_name: str) -> dict[str, str]:
    """Return new temporary credentials of a role, as environment variables for an AWS SDK."""
    role = parse_arn(role_arn)
    name = role.resource.rsplit("/", 1)[-1]
    access_key, secret, token = f"ASIA{uuid4().hex[:16].upper()}", uuid4().hex, uuid4().hex
    sts.register_session(
        access_key,
        {
            "Arn": f"arn:aws:sts::{role.account_id}:assumed-role/{name}/{session_name}",
            "UserId": f"{name}:{session_name}",
            "SecretAccessKey": secret,
            "SessionToken": token,
        },
    )
    return {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def require_of_role(role_arn: str, permissions: Iterable[Permission]) -> None:
    """Raise AccessDenied unless a role's policies allow everything to a service of this server that works as it."""
    iam_evaluator.pin_request_origin("127.0.0.1", True)
    access_key = role_credentials(role_arn, "service")["AWS_ACCESS_KEY_ID"]
    try:
        require(access_key, permissions)
    finally:
        sts._sessions.pop(access_key, None)


def require(access_key: str, permissions: Iterable[Permission]) -> None:
    """Raise AccessDenied unless the policies of a key's principal allow everything."""
    for needed in permissions:
        service = needed.action.partition(":")[0]
        refused = iam_evaluator.enforce(
            access_key, needed.action, service, get_region(), needed.resource, dict(needed.context)
        )
        if isinstance(refused, iam_evaluator.AuthError):
            raise AccessDenied(refused.message)
        if refused is not None:
            raise AccessDenied(
                f"User: {refused.principal_arn} is not authorized to perform: {needed.action} "
                f"on resource: {needed.resource}"
            )


def _loopback_is_secure(pin: Callable[[str, bool], None]) -> Callable[[str, bool], None]:
    return lambda source_ip, _secure: pin(source_ip, True)


def _or_unsigned(authenticate: Callable[..., object]) -> Callable[..., object]:
    """Let Spark's S3 client say who it is without a signature; its key's policies are checked all the same."""

    def authenticate_signed(access_key_id: str, account_id: str) -> object:
        request = iam_evaluator._signed_request.get()
        if request is not None and request.headers.get("authorization", "").endswith(_UNSIGNED):
            iam_evaluator._signed_request.set(None)
        return authenticate(access_key_id, account_id)

    return authenticate_signed


def _or_as_aws_names_it(extract: Callable[..., str]) -> Callable[..., str]:
    """Find what ministack does not: the machine of a task's token, rules of the default bus, schedules of a group."""

    def extract_resource_arn(  # noqa: PLR0917 -- ministack's
        service: str, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Json, *scope: str
    ) -> str:
        place = f"{service}:{':'.join(scope)}"
        if "AWSStepFunctions.SendTask" in headers.get("x-amz-target", ""):
            return _machine_of_token.get(json.loads(body).get("taskToken"), "*")
        if "AWSEvents." in headers.get("x-amz-target", ""):
            request = json.loads(body)
            if (rule := request.get("Rule") or request.get("Name")) and not request.get("EventBusName"):
                return f"arn:aws:{place}:rule/{rule}"
        if service == "scheduler" and path.startswith("/schedules/"):
            (group,) = query.get("groupName") or [json.loads(body or b"{}").get("GroupName", "default")]
            return f"arn:aws:{place}:schedule/{group}/{path.removeprefix('/schedules/')}"
        return extract(service, method, path, headers, body, query, *scope)

    return extract_resource_arn


def _and_details(context_of: Callable[..., Json]) -> Callable[..., Json]:
    """Tell policies which events somebody puts on a bus, and how somebody subscribes to a topic."""

    def request_context(service: str, action: str, body: bytes, parameters: Json) -> Json:
        context = context_of(service, action, body, parameters)
        if action == "events:PutEvents":
            sources = {entry.get("Source", "") for entry in json.loads(body).get("Entries", [])}
            context["events:source"] = sources.pop() if len(sources) == 1 else sorted(sources)
        if action == "sns:Subscribe":
            context |= {f"sns:{name}": value for name in ("Endpoint", "Protocol") for value in parameters.get(name, [])}
        return context

    return request_context


def _as_the_machines_role(run_task: Callable[..., object]) -> Callable[..., object]:
    """Run a task when the state machine's role allows it."""

    def run_allowed_task(state: Json, raw_input: object, arguments: Json, context: Json) -> object:
        try:
            require_of_role(context["Execution"]["RoleArn"], _permissions_of_task(state["Resource"], arguments))
        except AccessDenied as error:
            raise stepfunctions._ExecutionError("States.Permissions", str(error)) from error
        if token := context.get("Task", {}).get("Token"):
            _machine_of_token[token] = context["StateMachine"]["Id"]
        return run_task(state, raw_input, arguments, context)

    return run_allowed_task


def _permissions_of_task(resource: str, arguments: Json) -> Iterator[Permission]:
    """Name what AWS asks of a role for the integrations that pipelines use."""
    if resource.startswith("arn:aws:states:::lambda:invoke"):
        yield Permission("lambda:InvokeFunction", arguments["FunctionName"])
    elif resource.startswith("arn:aws:states:::states:startExecution"):
        machine = arguments["StateMachineArn"]
        yield Permission("states:StartExecution", machine)
        if ".sync" in resource:
            executions = machine.replace(":stateMachine:", ":execution:") + ":*"
            yield from (Permission(f"states:{action}Execution", executions) for action in ("Describe", "Stop"))
            rule = f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{_NESTED_RULE}"
            yield from (Permission(f"events:{action}", rule) for action in ("DescribeRule", "PutRule", "PutTargets"))


def _if_target_lets_events_in(invoke: Callable[..., None]) -> Callable[..., None]:
    """Deliver to a queue, topic or function whose own policy lets EventBridge in."""

    def invoke_target(target: Json, event: Json, rule: Json, view: object = None) -> None:
        action = next((name for prefix, name in _ACTION_OF_TARGET.items() if target["Arn"].startswith(prefix)), None)
        if action and not _lets_in("events.amazonaws.com", Permission(action, target["Arn"]), rule["Arn"]):
            message = f"The target does not let {rule['Arn']} in."
            kept = dead_letter_target(target, rule, "NO_PERMISSIONS", message)
            log.warning("%s %s", message, "The event is in the dead-letter queue." if kept else "The event is lost.")
            if kept is None:
                return
            target = kept
        invoke(target, event, rule, view)

    return invoke_target


def _lets_in(service: str, permission: Permission, source_arn: str) -> bool:
    """Evaluate a resource's own policy for an AWS service that acts for a resource of this account."""
    found = iam_evaluator._resource_policy(permission.action.partition(":")[0], permission.resource)
    if found is None:
        return True  # there is no such resource, which is for others to find out
    context = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=permission.action,
        resource_arn=permission.resource,
        region=get_region(),
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": get_account_id()},
    )
    allowed: bool = iam_evaluator.evaluate_resource_policy(found[0], context, service=service).decision == "Allow"
    return allowed
