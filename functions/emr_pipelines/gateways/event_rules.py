"""The EventBridge rules of the pipelines on the account's default bus.

A rule is called `<stack>.<pipeline>.<digest of its entry>`, so it never changes: an entry that does gets a new rule
before the old one goes, and no event falls in between.
"""

import hashlib
import json
from typing import Any

from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.gateways.aws import TARGET_RETRY_POLICY, client, translated_errors
from emr_pipelines.trigger_messages import entry_digest, event_template

_TARGET_ID = "trigger-queue"
_NAME_LIMIT = 64
_DIGEST_CHARACTERS = 10
_SHORTENED = 9  # the least that is left of a pipeline's name
_LONGEST_STACK_NAME = _NAME_LIMIT - len("..") - _SHORTENED - _DIGEST_CHARACTERS
# The parts that every event has; TestEventPattern wants them, though only the pattern is looked at here.
_SOME_EVENT = json.dumps(
    {
        "id": "0",
        "detail-type": "x",
        "source": "x",
        "account": "0",
        "time": "2026-01-01T00:00:00Z",
        "region": "x",
        "resources": [],
        "detail": {},
    }
)


class EventRules:
    """Makes rules what a pipeline file says; every call is safe to repeat."""

    def __init__(self, stack_name: str, queue_arn: str, dead_letter_queue_arn: str) -> None:
        self._events = client("events")
        self._stack_name = stack_name
        self._target = {
            "Id": _TARGET_ID,
            "Arn": queue_arn,
            "RetryPolicy": TARGET_RETRY_POLICY,
            "DeadLetterConfig": {"Arn": dead_letter_queue_arn},
        }

    def refusal(self, pattern: dict[str, Any]) -> str | None:
        """Return why EventBridge would not take a rule with an event pattern, or None when it would."""
        if len(self._stack_name) > _LONGEST_STACK_NAME:
            return f"needs a rule, and the name of the stack is too long for one: {_LONGEST_STACK_NAME} characters fit"
        with translated_errors():
            try:
                self._events.test_event_pattern(EventPattern=json.dumps(pattern), Event=_SOME_EVENT)
            except self._events.exceptions.InvalidEventPatternException as error:
                return str(error.response["Error"]["Message"])
        return None

    def apply(self, pipeline: str, entries: list[dict[str, Any]]) -> None:
        """Let a pipeline have exactly these rules, the entries of `triggers.events`."""
        prefix = self._prefix(pipeline)
        kept = set()
        for entry in entries:
            name = prefix + entry_digest(entry["pattern"], entry["parameters"])
            kept.add(name)
            self._put(name, pipeline, entry)
        for name in self._names(prefix) - kept:
            self._delete(name)

    def remove_all(self) -> None:
        """Remove the rules of all pipelines of the stack."""
        for name in self._names(f"{self._stack_name}."):
            self._delete(name)

    def _put(self, name: str, pipeline: str, entry: dict[str, Any]) -> None:
        transformer = {"InputTemplate": event_template(pipeline, entry["parameters"])}
        with translated_errors():
            self._events.put_rule(
                Name=name,
                EventPattern=json.dumps(entry["pattern"]),
                Description=f"Starts the pipeline {pipeline}",
            )
            answer = self._events.put_targets(Rule=name, Targets=[{**self._target, "InputTransformer": transformer}])
        for failed in answer.get("FailedEntries", []):
            raise RequestRefusedError("PutTargets", failed["ErrorCode"], failed["ErrorMessage"])

    def _names(self, prefix: str) -> set[str]:
        with translated_errors():
            pages = self._events.get_paginator("list_rules").paginate(NamePrefix=prefix[:_NAME_LIMIT])
            names = {rule["Name"] for page in pages for rule in page["Rules"]}
        return {name for name in names if name.startswith(prefix)}  # the prefix of a stack's long name has been cut

    def _delete(self, name: str) -> None:
        with translated_errors():
            try:
                self._events.remove_targets(Rule=name, Ids=[_TARGET_ID])
                self._events.delete_rule(Name=name)
            except self._events.exceptions.ResourceNotFoundException:
                return

    def _prefix(self, pipeline: str) -> str:
        """Return what the names of a pipeline's rules begin with: neither stacks nor pipelines have dots in theirs."""
        room = _NAME_LIMIT - len(f"{self._stack_name}..") - _DIGEST_CHARACTERS
        if len(pipeline) > room:
            digest = hashlib.sha256(pipeline.encode()).hexdigest()[:8]
            pipeline = f"{pipeline[: max(room - _SHORTENED, 0)]}_{digest}"
        return f"{self._stack_name}.{pipeline}."
