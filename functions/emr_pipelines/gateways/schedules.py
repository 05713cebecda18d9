"""The EventBridge Scheduler schedules of the pipelines, all in the one schedule group of the stack.

A schedule is called `<pipeline>.<digest of its entry>`, so an entry that stays as it is keeps its schedule (and the
beat of its rate) while others come, go or move.
"""

from datetime import UTC, datetime
from typing import Any

from emr_pipelines import schedule_expression
from emr_pipelines.gateways.aws import TARGET_RETRY_POLICY, client, translated_errors
from emr_pipelines.trigger_messages import schedule_digest, schedule_input


class Schedules:
    """Makes schedules what a pipeline file says; every call is safe to repeat."""

    def __init__(self, group: str, role_arn: str, queue_arn: str, dead_letter_queue_arn: str) -> None:
        self._scheduler = client("scheduler")
        self._group = group
        self._target = {
            "Arn": queue_arn,
            "RoleArn": role_arn,
            "RetryPolicy": TARGET_RETRY_POLICY,
            "DeadLetterConfig": {"Arn": dead_letter_queue_arn},
        }

    def apply(self, pipeline: str, schedules: list[dict[str, Any]]) -> None:
        """Let a pipeline have exactly these schedules, the entries of `triggers.schedules`."""
        kept = set()
        for index, schedule in enumerate(schedules):
            name = schedule_name(pipeline, schedule)
            kept.add(name)
            if not _is_over(schedule):  # what is over would fire at once, or be refused
                self._put(name, self._request(pipeline, index, schedule))
        for name in self._names(pipeline) - kept:
            self._delete(name)

    def _request(self, pipeline: str, index: int, schedule: dict[str, Any]) -> dict[str, Any]:
        return {
            "ScheduleExpression": schedule["expression"],
            "ScheduleExpressionTimezone": schedule["timezone"],
            "State": "ENABLED" if schedule["enabled"] else "DISABLED",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",  # of at(): nobody needs it any more
            "Description": f"Starts the pipeline {pipeline}",
            "Target": {**self._target, "Input": schedule_input(pipeline, index, schedule)},
        }

    def _put(self, name: str, request: dict[str, Any]) -> None:
        place = {"GroupName": self._group, "Name": name}
        errors = self._scheduler.exceptions
        with translated_errors():
            try:
                present = self._scheduler.get_schedule(**place)
            except errors.ResourceNotFoundException:
                try:
                    self._scheduler.create_schedule(**place, **request)
                except errors.ConflictException:  # the file's other event was faster
                    present = {}
                else:
                    return
            if any(present.get(field) != value for field, value in request.items()):
                self._scheduler.update_schedule(**place, **request)

    def _names(self, pipeline: str) -> set[str]:
        with translated_errors():
            pages = self._scheduler.get_paginator("list_schedules").paginate(
                GroupName=self._group, NamePrefix=f"{pipeline}."
            )
            return {schedule["Name"] for page in pages for schedule in page["Schedules"]}

    def _delete(self, name: str) -> None:
        with translated_errors():
            try:
                self._scheduler.delete_schedule(GroupName=self._group, Name=name)
            except self._scheduler.exceptions.ResourceNotFoundException:
                return


def schedule_name(pipeline: str, schedule: dict[str, Any]) -> str:
    """Return the name of an entry's schedule; no pipeline's name has a dot."""
    return f"{pipeline}.{schedule_digest(schedule)}"


def _is_over(schedule: dict[str, Any]) -> bool:
    now = datetime.now(UTC)
    parsed = schedule_expression.parse(schedule["expression"], schedule["timezone"])
    return next(parsed.occurrences(now, now), None) is None
