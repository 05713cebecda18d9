"""Puts the service into the ministack process: the only module that knows how ministack is extended."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from ministack import app
from ministack.core import iam_actions
from ministack.services import emr

from emrp.local import events as local_events
from emrp.local import iam
from emrp.local.emr_on_ec2 import cloudformation, stepfunctions
from emrp.local.emr_on_ec2.api import Api
from emrp.local.emr_on_ec2.authorization import authorize, instance_role
from emrp.local.emr_on_ec2.bootstrap import run_script, simulated_scripts
from emrp.local.emr_on_ec2.events import Detail, Events
from emrp.local.emr_on_ec2.execution import Surroundings
from emrp.local.emr_on_ec2.in_process import InProcessClient
from emrp.local.emr_on_ec2.records import Record, scope_of
from emrp.local.emr_on_ec2.service import EmrOnEc2
from emrp.local.emr_serverless import aws
from emrp.local.emr_serverless.gate import Gate
from emrp.local.emr_serverless.simulated import simulation
from emrp.local.emr_serverless.stepfunctions import Watchers
from emrp.local.patches.anchors import replace
from emrp.local.spark import start_driver

SERVICE = "elasticmapreduce"
SOURCE = "aws.emr"
_STEPS_AT_A_TIME = max(2, os.cpu_count() or 1)

_service: EmrOnEc2 | None = None
_client: InProcessClient | None = None
_watchers = Watchers()


def install() -> None:
    """Make ministack's clusters live."""
    global _service, _client  # noqa: PLW0603 -- one service in a process, as all services of ministack
    simulated_seconds = os.environ.get("EMRP_SIMULATED_JOB_SECONDS")
    surroundings = Surroundings(
        events=Events(_publish_soon),
        start_driver=simulation(float(simulated_seconds)) if simulated_seconds else start_driver,
        run_script=simulated_scripts() if simulated_seconds else run_script,
        environment=_environment,
        role_of=_role_of,
        put_object=aws.put_object,
        get_object=aws.get_object,
        machine=Gate(lambda _step, running: len(running) < _STEPS_AT_A_TIME),
        work_dir=Path(os.environ["TMPDIR"]) / "emr_on_ec2",
    )
    built = _service = EmrOnEc2(surroundings)
    client = _client = InProcessClient(built, lambda: app._MAIN_LOOP, _watchers)
    cloudformation.install(client)
    stepfunctions.install(client)
    api = Api(built, authorize if iam.is_enforced() else None)
    iam_actions.SERVICE_TO_IAM_NAMESPACE.pop(SERVICE)  # `authorize` knows more than ministack does
    replace(emr, "handle_request", "ab4a0ef2745d", lambda _: api.handle_request)
    replace(emr, "load_persisted_state", "6f58d9dc1e6e", lambda load: _in_turn(load, built.resume))
    replace(emr, "reset", "3c7591dca73a", lambda reset: _in_turn(reset, built.reset))


def service() -> EmrOnEc2:
    """Return the service of this process."""
    if _service is None:
        raise RuntimeError("EMR on EC2 is not installed.")
    return _service


async def shutdown() -> None:
    """End every step and its driver, because the server stops."""
    if _client is not None:
        _client.end()
    if _service is not None:
        await _service.shut_down()


def _in_turn(first: Callable[..., None], then: Callable[[], None]) -> Callable[..., None]:
    def call_both(*arguments: object) -> None:
        first(*arguments)
        then()

    return call_both


def _publish_soon(cluster: Record, detail_type: str, detail: Detail) -> None:
    """Publish an event after what is being done now, in order; a rule's target never delays the service."""
    account_id, region = scope_of(cluster)

    def publish() -> None:
        _watchers.changed(detail["stepId"] if "stepId" in detail else detail["clusterId"])
        local_events.publish_aws_event(SOURCE, detail_type, detail, account_id=account_id, region=region)

    asyncio.get_running_loop().call_soon(publish)


def _environment(cluster: Record, role_arn: str, session: str) -> dict[str, str]:
    """Return the AWS settings of what a cluster runs; it may do all in its account unless IAM is enforced."""
    account_id, region = scope_of(cluster)
    settings = {
        "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": account_id,
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    return settings | (iam.role_credentials(role_arn, session) if iam.is_enforced() else {})


def _role_of(cluster: Record) -> str:
    account_id, _ = scope_of(cluster)
    return instance_role(cluster["Ec2InstanceAttributes"]["IamInstanceProfile"], account_id)
