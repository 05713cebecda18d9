"""The local EMR on EC2 without sockets and Spark: a boto3 client in front, drivers that tests end by hand."""

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from ministack.services import emr as ministack_emr

from emrp.local.emr_on_ec2.api import Api
from emrp.local.emr_on_ec2.events import Events
from emrp.local.emr_on_ec2.execution import ScriptRequest, Surroundings
from emrp.local.emr_on_ec2.records import Record
from emrp.local.emr_on_ec2.service import EmrOnEc2
from emrp.local.emr_serverless.gate import Gate
from emrp.local.spark import DriverRequest
from tests.unit.local_emr_serverless.harness import DEADLINE_SECONDS, FakeDriver, client_of

KEEP_ALIVE = {"KeepJobFlowAliveWhenNoSteps": True, "InstanceCount": 1}


class Harness:
    """The service, its client, and what it did to the outside."""

    def __init__(self, folder: Path, seconds_per_idle_second: float = 1.0, steps_at_a_time: int = 100) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.drivers: list[FakeDriver] = []
        self.scripts: list[ScriptRequest] = []
        self.script_exit_code = 0
        self.script_problem: Exception | None = None
        self.objects: dict[str, bytes] = {}
        self.on_event: Callable[[dict[str, Any]], None] = lambda _detail: None
        self._changed = asyncio.Event()
        self.service = EmrOnEc2(
            Surroundings(
                events=Events(self._record_event),
                start_driver=self._start_driver,
                run_script=self._run_script,
                environment=lambda _cluster, role_arn, _session: {"ROLE": role_arn},
                role_of=lambda cluster: str(cluster["Ec2InstanceAttributes"]["IamInstanceProfile"]),
                put_object=self._put_object,
                get_object=self._get_object,
                machine=Gate(lambda _, running: len(running) < steps_at_a_time),
                work_dir=folder / "work",
                seconds_per_idle_second=seconds_per_idle_second,
            )
        )
        self.client = client_of(Api(self.service), "emr")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.service.shut_down()

    async def server_ends(self) -> None:
        """End the service as an orderly stop of its server does; ministack's records stay."""
        await self.service.shut_down()

    def run_job_flow(self, *steps: dict[str, Any], **parameters: Any) -> str:
        request = {"Name": "tests", "ReleaseLabel": "emr-7.9.0", "Instances": KEEP_ALIVE, "Steps": list(steps)}
        cluster_id: str = self.client.run_job_flow(**request | parameters)["JobFlowId"]
        return cluster_id

    def cluster(self, cluster_id: str) -> dict[str, Any]:
        description: dict[str, Any] = self.client.describe_cluster(ClusterId=cluster_id)["Cluster"]
        return description

    def steps(self, cluster_id: str) -> dict[str, dict[str, Any]]:
        """The steps of a cluster by their names, the oldest first."""
        listed = self.client.list_steps(ClusterId=cluster_id)["Steps"]
        return {step["Name"]: step for step in reversed(listed)}

    def step_states(self, cluster_id: str) -> dict[str, str]:
        return {name: step["Status"]["State"] for name, step in self.steps(cluster_id).items()}

    async def cluster_reaches(self, cluster_id: str, state: str) -> dict[str, Any]:
        await self.until(lambda: self.cluster(cluster_id)["Status"]["State"] == state)
        return self.cluster(cluster_id)

    async def step_reaches(self, cluster_id: str, name: str, state: str) -> dict[str, Any]:
        await self.until(lambda: self.step_states(cluster_id)[name] == state)
        return self.steps(cluster_id)[name]

    async def driver_of(self, cluster_id: str, name: str) -> FakeDriver:
        """The driver of a step that runs."""
        step = await self.step_reaches(cluster_id, name, "RUNNING")
        return next(driver for driver in self.drivers if driver.request.job_run_id == step["Id"])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; it is tried again after every event and whenever something may have happened."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                self._changed.clear()
                await asyncio.wait({asyncio.ensure_future(self._changed.wait())}, timeout=0.01)

    def states(self, kind: str) -> list[str]:
        """The states that were published in events of a kind."""
        return [detail["state"] for found, detail in self.events if found == kind]

    def log(self, key: str) -> str:
        return gzip.decompress(self.objects[key]).decode()

    def _record_event(self, _: Record, kind: str, detail: dict[str, Any]) -> None:
        self.events.append((kind, json.loads(json.dumps(detail))))
        self.on_event(detail)
        self._changed.set()

    async def _start_driver(self, request: DriverRequest) -> FakeDriver:
        driver = FakeDriver(request)
        self.drivers.append(driver)
        return driver

    async def _run_script(self, request: ScriptRequest) -> int:
        self.scripts.append(request)
        if self.script_problem:
            raise self.script_problem
        return self.script_exit_code

    async def _put_object(self, bucket: str, key: str, content: bytes, _role_arn: str) -> None:
        self.objects[f"{bucket}/{key}"] = content

    async def _get_object(self, bucket: str, key: str, _role_arn: str) -> bytes:
        try:
            return self.objects[f"{bucket}/{key}"]
        except KeyError as error:
            raise OSError(f"s3://{bucket}/{key} cannot be read: The specified key does not exist.") from error


def step(name: str, *arguments: str, action: str = "CONTINUE", jar: str = "command-runner.jar") -> dict[str, Any]:
    """A StepConfig; without arguments it submits a Spark program."""
    arguments = arguments or ("spark-submit", f"s3://bucket/{name}.py")
    return {"Name": name, "ActionOnFailure": action, "HadoopJarStep": {"Jar": jar, "Args": list(arguments)}}


def forget_clusters() -> None:
    """Empty ministack's stores, which are those of the process."""
    ministack_emr._clear_state()
