"""The faults that are tried one by one."""

from dataclasses import dataclass, field
from typing import Any

from tests.local.chaos.scenarios import KILLED, PlannedJob, Scenario

Fault = dict[str, Any]

# Each is enough for botocore, which tries twice, to give up.
_GIVES_UP = 2
# Every call of the functions that take part in a run.
CALLS = {
    "PlanRun": ["dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:BatchWriteItem", "dynamodb:UpdateItem"],
    "LaunchApplication": [
        "dynamodb:UpdateItem", "dynamodb:PutItem", "emr-serverless:CreateApplication",
        "emr-serverless:GetApplication", "emr-serverless:StartApplication", "states:SendTaskSuccess",
    ],
    "AddJobRun": ["dynamodb:UpdateItem", "dynamodb:PutItem", "emr-serverless:StartJobRun", "emr-serverless:GetJobRun"],
    "WaitForUpstream": ["dynamodb:UpdateItem", "states:SendTaskSuccess"],
    "HandleStateChange": [
        "dynamodb:GetItem", "dynamodb:UpdateItem", "emr-serverless:GetJobRun", "events:PutEvents",
        "states:SendTaskSuccess", "emr-serverless:GetApplication",
    ],
    "CheckStatus": ["dynamodb:UpdateItem", "emr-serverless:GetJobRun"],
    "CleanUp": [
        "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query", "events:PutEvents", "dynamodb:DeleteItem",
        "emr-serverless:StopApplication", "emr-serverless:DeleteApplication",
    ],
    "Notify": ["dynamodb:GetItem", "sns:Publish"],
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Faults, and the run that meets them. Those that are quick are part of `make test`."""

    name: str
    calls: list[Fault] = field(default_factory=list)
    events: list[Fault] = field(default_factory=list)
    scenario: Scenario = field(default_factory=Scenario)
    is_quick: bool = False

    @property
    def kind(self) -> str:
        """What the trial is counted as."""
        return self.name.partition(": ")[0]


def _of_events() -> list[Trial]:
    return [
        Trial("EMR's events: dropped", events=[{"effect": "drop"}], is_quick=True),
        Trial("EMR's events: twice", events=[{"effect": "repeat"}], is_quick=True),
        Trial("EMR's events: after the heartbeat", events=[{"effect": "delay", "seconds": 10.0}], is_quick=True),
        Trial("EMR's events: reordered", events=[{"effect": "shuffle", "seconds": 2.0}], is_quick=True),
        Trial(
            "EMR's events: before StartJobRun returns",
            calls=[{"effect": "delay", "operation": "*:StartJobRun", "after": True, "seconds": 2.0}],
            is_quick=True,
        ),
    ]


def _of_drivers() -> list[Trial]:
    jobs = (PlannedJob("a", exit_code=KILLED), PlannedJob("b", ("a",)))
    return [Trial("driver killed: -9", scenario=Scenario(jobs), is_quick=True)]


def _of_calls() -> list[Trial]:
    trials = []
    for function, operations in CALLS.items():
        for operation in operations:
            fault = {"function": f"*{function}*", "operation": operation, "times": _GIVES_UP}
            once = {**fault, "times": 1}
            # Otherwise nobody has to ask EMR.
            events = [{"effect": "drop", "detail_type": "*Job Run*"}] if function == "CheckStatus" else []
            for kind, struck in (
                ("call throttled", {**fault, "effect": "throttle"}),
                ("call fails", {**fault, "effect": "error"}),
                ("call fails after it took effect", {**fault, "effect": "error", "after": True}),
                ("function killed before a call", {**once, "effect": "kill"}),
                ("function killed after a call", {**once, "effect": "kill", "after": True}),
            ):
                name = f"{kind}: {function}, {operation}"
                trials.append(Trial(name, [struck], events, Scenario(lifecycle="transient")))
    return trials


DIRECTED = [*_of_events(), *_of_drivers(), *_of_calls()]
