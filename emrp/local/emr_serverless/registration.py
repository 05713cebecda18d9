"""Puts the service into the ministack process: the only module that knows how ministack is extended."""

import asyncio
import os
import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from ministack import app
from ministack.core import router

from emrp.local import events as local_events
from emrp.local import iam
from emrp.local.emr_serverless import aws, cloudformation, stepfunctions
from emrp.local.emr_serverless.api import Api
from emrp.local.emr_serverless.application import Application
from emrp.local.emr_serverless.authorization import authorize
from emrp.local.emr_serverless.dashboards import EventLogs, HistoryServer
from emrp.local.emr_serverless.events import Detail, Events
from emrp.local.emr_serverless.execution import Execution, Surroundings
from emrp.local.emr_serverless.gate import Gate
from emrp.local.emr_serverless.in_process import InProcessClient
from emrp.local.emr_serverless.job_run import JobRun
from emrp.local.emr_serverless.logs import LogStores
from emrp.local.emr_serverless.quotas import quotas_from
from emrp.local.emr_serverless.service import EmrServerless
from emrp.local.emr_serverless.simulated import simulation
from emrp.local.patches.anchors import when_first_asked
from emrp.local.spark import WarmDrivers, start_driver

SERVICE = "emr-serverless"
_MODULE = "emr_serverless"
_SOURCE = "aws.emr-serverless"
_DRIVERS_AT_A_TIME = max(2, os.cpu_count() or 1)

_service: EmrServerless | None = None
_watchers = stepfunctions.Watchers()


def install() -> None:
    """Make ministack answer for EMR Serverless."""
    global _service  # noqa: PLW0603 -- one service in a process, as all services of ministack
    data_dir = Path(os.environ["STATE_DIR"]).parent / _MODULE
    event_logs = EventLogs(data_dir / "event-logs")
    work_dir = Path(os.environ["TMPDIR"]) / _MODULE
    simulated_seconds = os.environ.get("EMRP_SIMULATED_JOB_SECONDS")
    surroundings = Surroundings(
        events=Events(_publish_soon),
        logs=LogStores(aws.put_object, aws.put_lines, data_dir / "logs"),
        start_driver=simulation(float(simulated_seconds)) if simulated_seconds else start_driver,
        warm_drivers=_warm_drivers,
        driver_environment=_driver_environment,
        machine=Gate(_fits_this_machine),
        classifications=lambda job_run: [event_logs.classification(job_run)],
        work_dir=work_dir,
    )
    history_server = HistoryServer(start_driver, event_logs, work_dir / "history-server")
    _service = EmrServerless(surroundings, history_server, quotas_from(os.environ.get("EMRP_API_QUOTAS", "1")))
    _register(Api(_service, authorize if iam.is_enforced() else None))
    client = InProcessClient(_service, lambda: app._MAIN_LOOP)
    cloudformation.check_anchors()
    when_first_asked(app.SERVICE_HANDLERS, "cloudformation", partial(cloudformation.install, client))
    stepfunctions.install(client, _watchers)


def service() -> EmrServerless:
    """Return the service of this process."""
    if _service is None:
        raise RuntimeError("EMR Serverless is not installed.")
    return _service


async def shutdown() -> None:
    """End every job run and its driver, because the server stops."""
    if _service is not None:
        await _service.shut_down()


def _register(api: Api) -> None:
    """Make the service known wherever ministack looks for one."""
    module: Any = ModuleType(f"ministack.services.{_MODULE}", api.__doc__)
    module.handle_request = api.handle_request
    module.get_state = api.get_state
    module.load_persisted_state = api.load_persisted_state
    module.reset = api.reset
    sys.modules[module.__name__] = module
    app._loaded_modules[_MODULE] = module
    app.SERVICE_REGISTRY[SERVICE] = {"module": _MODULE}
    app.SERVICE_HANDLERS[SERVICE] = app._lazy_handler(_MODULE)
    app._state_map[_MODULE] = _MODULE
    router.SERVICE_PATTERNS[SERVICE] = {"host_patterns": [r"emr-serverless\."], "credential_scope": SERVICE}


def _publish_soon(application: Application, detail_type: str, detail: Detail, resources: list[str]) -> None:
    """Publish an event after what is being done now, in order; a rule's target never delays the service."""

    def publish() -> None:
        _watchers.changed(detail["arn"] if "arn" in detail else resources[0])
        local_events.publish_aws_event(
            _SOURCE,
            detail_type,
            detail,
            resources,
            account_id=application.account_id,
            region=application.region,
        )

    asyncio.get_running_loop().call_soon(publish)


def _driver_environment(job_run: JobRun) -> dict[str, str]:
    """Return the AWS settings of a job; it may do all in its account unless IAM is enforced."""
    settings = _account_environment(job_run.application)
    return settings | (iam.role_credentials(job_run.role_arn, job_run.id) if iam.is_enforced() else {})


def _account_environment(application: Application) -> dict[str, str]:
    """Return the AWS settings with which a driver reaches this server; its key selects the account."""
    return {
        "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
        "AWS_REGION": application.region,
        "AWS_DEFAULT_REGION": application.region,
        "AWS_ACCESS_KEY_ID": application.account_id,
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def _warm_drivers(application: Application) -> WarmDrivers | None:
    """Return the drivers of an application's initial capacity, as many as this machine can run at a time."""
    driver = application.initial_drivers
    if driver is None or application.engine != "SPARK":
        return None
    return WarmDrivers(
        min(driver["workerCount"], _DRIVERS_AT_A_TIME),
        Path(os.environ["TMPDIR"]) / _MODULE / "warm" / application.id,
        _account_environment(application),
    )


def _fits_this_machine(_execution: Execution, running: Collection[Execution]) -> bool:
    return len(running) < _DRIVERS_AT_A_TIME
