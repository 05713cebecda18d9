"""What ministack does differently from AWS, put right from outside, one module per service (or theme of one)."""

from emrp.local.inbox import Inbox
from emrp.local.patches import (
    cloudformation,
    eventbridge,
    lambda_svc,
    lambda_turns,
    s3,
    scheduler,
    sns,
    stepfunctions_branches,
    stepfunctions_definition,
    stepfunctions_execution,
    stepfunctions_paths,
    stepfunctions_start,
    stepfunctions_task,
)


def install(inbox: Inbox) -> None:
    """Apply every patch, or fail with the first anchor that this ministack does not have."""
    cloudformation.install()
    sns.install(inbox)
    lambda_svc.install()
    lambda_turns.install()
    s3.install()
    eventbridge.install()
    scheduler.install()
    stepfunctions_definition.install()
    stepfunctions_start.install()
    stepfunctions_execution.install()
    stepfunctions_task.install()
    stepfunctions_branches.install()
    stepfunctions_paths.install()
