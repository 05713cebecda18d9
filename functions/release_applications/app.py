"""Deletion of the stack -> `release_applications` -> nothing that its runs have made is left on EMR."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.aws import PATIENT
from emr_pipelines.gateways.cloudformation import CloudFormation
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.event_rules import EventRules
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.release_applications import release_applications

_SECONDS_TO_ANSWER = 60.0

logger = Logger()
cloudformation = CloudFormation()
rules = EventRules(os.environ["STACK_NAME"], os.environ["TRIGGER_QUEUE_ARN"], os.environ["EVENT_DEAD_LETTER_QUEUE_ARN"])
emr = EmrServerless(PATIENT)
clusters = EmrOnEc2(PATIENT)
stacks = ClusterStacks()
step_functions = StepFunctions()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Handle the request of CloudFormation about the custom resource in the template."""
    logger.info("Asked by CloudFormation", request=event["RequestType"])
    problem = release_applications(
        event,
        os.environ["STACK_NAME"],
        os.environ["PIPELINE_STATE_MACHINE_ARN"],
        context.get_remaining_time_in_millis() / 1000 - _SECONDS_TO_ANSWER,
        cloudformation=cloudformation,
        rules=rules,
        emr=emr,
        clusters=clusters,
        stacks=stacks,
        step_functions=step_functions,
    )
    if problem:
        logger.error("Not everything is released", exc_info=problem)
