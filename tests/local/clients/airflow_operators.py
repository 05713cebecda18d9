"""Airflow's EMR Serverless operators, run one after the other without a scheduler, as test_real_clients.py asks.

Runs in Airflow's own environment. The connection is None, which is boto3's default behaviour: AWS_ENDPOINT_URL and
credentials of the environment. Prints what the operators returned, as JSON, on the last line.
"""

import asyncio
import json
import sys
from typing import Any

from airflow.exceptions import AirflowException, TaskDeferred
from airflow.providers.amazon.aws.hooks.emr import EmrServerlessHook
from airflow.providers.amazon.aws.operators.emr import (
    EmrServerlessCreateApplicationOperator,
    EmrServerlessDeleteApplicationOperator,
    EmrServerlessStartJobOperator,
    EmrServerlessStopApplicationOperator,
)
from airflow.providers.amazon.aws.sensors.emr import EmrServerlessJobSensor

EVERY_SECOND: dict[str, Any] = {"waiter_delay": 1, "waiter_max_attempts": 120}
DEFAULTS: dict[str, Any] = {"aws_conn_id": None, "do_xcom_push": False}
NO_CONTEXT: dict[str, Any] = {}


def main(bucket: str, role: str) -> None:
    """Create, run jobs in every way that the operators know, stop and delete."""
    application: str = EmrServerlessCreateApplicationOperator(
        task_id="create",
        release_label="emr-7.9.0",
        job_type="SPARK",
        config={"name": "airflow"},
        **DEFAULTS,
        **EVERY_SECOND,
    ).execute(NO_CONTEXT)

    def job(script: str, **settings: Any) -> EmrServerlessStartJobOperator:
        return EmrServerlessStartJobOperator(
            task_id="job",
            application_id=application,
            execution_role_arn=role,
            job_driver={"sparkSubmit": {"entryPoint": f"s3://{bucket}/jobs/{script}"}},
            configuration_overrides={
                "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": f"s3://{bucket}/logs"}}
            },
            **(DEFAULTS | EVERY_SECOND | settings),
        )

    waited = job("sum.py").execute(NO_CONTEXT)
    deferred = asyncio.run(_deferred(job("sum.py", deferrable=True)))
    failed = _failure(job("fail.py"))

    sensed = job("sum.py", wait_for_completion=False).execute(NO_CONTEXT)
    EmrServerlessJobSensor(
        task_id="sense", application_id=application, job_run_id=sensed, poke_interval=1, timeout=120, **DEFAULTS
    ).execute(NO_CONTEXT)

    killed = job("sleep.py", wait_for_completion=False)
    killed.execute(NO_CONTEXT)
    killed.on_kill()

    abandoned = job("sleep.py", wait_for_completion=False).execute(NO_CONTEXT)
    EmrServerlessStopApplicationOperator(
        task_id="stop", application_id=application, force_stop=True, **DEFAULTS, **EVERY_SECOND
    ).execute(NO_CONTEXT)
    hook = EmrServerlessHook(aws_conn_id=None)
    stopped = hook.conn.get_application(applicationId=application)["application"]["state"]
    EmrServerlessDeleteApplicationOperator(
        task_id="delete", application_id=application, **DEFAULTS, **EVERY_SECOND
    ).execute(NO_CONTEXT)
    print()
    print(
        json.dumps(
            {
                "application": application,
                "stopped": stopped,
                "waited": waited,
                "deferred": deferred,
                "failed": failed,
                "sensed": sensed,
                "killed": killed.job_id,
                "abandoned": abandoned,
            }
        )
    )


async def _deferred(operator: EmrServerlessStartJobOperator) -> str:
    """Do what Airflow's triggerer does with an operator that defers."""
    try:
        operator.execute(NO_CONTEXT)
    except TaskDeferred as deferral:
        event = await anext(deferral.trigger.run())
        job_run: str = operator.execute_complete(NO_CONTEXT, event.payload)
        return job_run
    raise AssertionError("the operator did not defer")


def _failure(operator: EmrServerlessStartJobOperator) -> str:
    try:
        operator.execute(NO_CONTEXT)
    except AirflowException as error:
        return str(error)
    raise AssertionError("the operator did not fail")


if __name__ == "__main__":
    main(*sys.argv[1:])
