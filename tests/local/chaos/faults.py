"""The faults that are tried by themselves."""

from dataclasses import dataclass, field
from typing import Any

from tests.local.chaos.scenarios import CLUSTER, KILLED, STACK, PlannedJob, Scenario

Fault = dict[str, Any]

# Each is enough for botocore, which tries twice, to give up.
_GIVES_UP = 2
# The calls of the functions that take part in a run.
CALLS = {
    "PlanRun": ["dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:BatchWriteItem", "dynamodb:UpdateItem"],
    "LaunchApplication": [
        "dynamodb:UpdateItem", "dynamodb:PutItem", "emr-serverless:CreateApplication",
        "emr-serverless:GetApplication", "emr-serverless:StartApplication", "states:SendTaskSuccess",
        "elasticmapreduce:RunJobFlow", "elasticmapreduce:DescribeCluster", "elasticmapreduce:ListClusters",
        "s3:GetObject", "cloudformation:CreateStack", "cloudformation:DescribeStacks",
    ],
    "AddJobRun": [
        "dynamodb:UpdateItem", "dynamodb:PutItem", "emr-serverless:StartJobRun", "emr-serverless:GetJobRun",
        "elasticmapreduce:AddJobFlowSteps", "elasticmapreduce:DescribeStep", "elasticmapreduce:ListSteps",
    ],
    "WaitForUpstream": ["dynamodb:UpdateItem", "states:SendTaskSuccess"],
    "HandleStateChange": [
        "dynamodb:GetItem", "dynamodb:UpdateItem", "emr-serverless:GetJobRun", "events:PutEvents",
        "states:SendTaskSuccess", "emr-serverless:GetApplication",
        "elasticmapreduce:DescribeStep", "elasticmapreduce:DescribeCluster", "cloudformation:DescribeStacks",
    ],
    "CheckStatus": ["dynamodb:UpdateItem", "emr-serverless:GetJobRun", "elasticmapreduce:DescribeStep"],
    "CleanUp": [
        "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query", "events:PutEvents", "dynamodb:DeleteItem",
        "emr-serverless:StopApplication", "emr-serverless:DeleteApplication",
        "elasticmapreduce:TerminateJobFlows", "elasticmapreduce:DescribeCluster", "cloudformation:DeleteStack",
    ],
    "Notify": ["dynamodb:GetItem", "sns:Publish"],
}  # fmt: skip
# SNS cannot be asked to take a message only once: whoever does not hear that it has, sends it again.
NEVER_AFTER = "sns:Publish"
KINDS: dict[str, Fault] = {
    "call throttled": {"effect": "throttle"},
    "call fails": {"effect": "error"},
    "call fails after it took effect": {"effect": "error", "after": True},
    "function killed before a call": {"effect": "kill"},
    "function killed after a call": {"effect": "kill", "after": True},
}


@dataclass(frozen=True)
class Trial:
    """Faults, and the run that meets them."""

    name: str
    calls: list[Fault] = field(default_factory=list)
    events: list[Fault] = field(default_factory=list)
    scenario: Scenario = field(default_factory=Scenario)


TRIALS = [
    Trial("EMR's events dropped", events=[{"effect": "drop"}]),
    Trial("EMR's events twice", events=[{"effect": "repeat"}]),
    Trial("EMR's events after the heartbeat", events=[{"effect": "delay", "seconds": 10.0}]),
    Trial("EMR's events reordered", events=[{"effect": "shuffle", "seconds": 2.0}]),
    Trial(
        "EMR's events before StartJobRun returns",
        calls=[{"effect": "delay", "operation": "*:StartJobRun", "after": True, "seconds": 2.0}],
    ),
    Trial("EMR's events of a cluster dropped", events=[{"effect": "drop"}], scenario=Scenario(where=CLUSTER)),
    Trial("EMR's events of a cluster twice", events=[{"effect": "repeat"}], scenario=Scenario(where=CLUSTER)),
    Trial("events of a stack dropped", events=[{"effect": "drop", "source": "aws.*"}], scenario=Scenario(where=STACK)),
    Trial("driver killed -9", scenario=Scenario((PlannedJob("a", exit_code=KILLED), PlannedJob("b", ("a",))))),
]


def of_kind(kind: str) -> list[Fault]:
    """The faults of a kind, one for each call of each function; each strikes once, the first call that it meets."""
    fault = KINDS[kind]
    times = 1 if fault["effect"] == "kill" else _GIVES_UP
    return [
        {**fault, "function": f"*{function}*", "operation": operation, "times": times}
        for function, operations in CALLS.items()
        for operation in operations
        if not (fault.get("after") and operation == NEVER_AFTER)
    ]
