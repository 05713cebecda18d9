"""The local EMR Serverless without sockets and Spark: a boto3 client in front, drivers that tests end by hand."""

import asyncio
import io
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import StructureShape
from botocore.validate import ParamValidator

from emrp.local.emr_serverless.api import Api
from emrp.local.emr_serverless.application import Application
from emrp.local.emr_serverless.dashboards import EventLogs, HistoryServer
from emrp.local.emr_serverless.drivers import Driver, StartDriver
from emrp.local.emr_serverless.events import Events
from emrp.local.emr_serverless.execution import Surroundings
from emrp.local.emr_serverless.gate import Gate
from emrp.local.emr_serverless.logs import LogStores
from emrp.local.emr_serverless.quotas import ApiQuotas
from emrp.local.emr_serverless.service import EmrServerless
from emrp.local.spark import DriverRequest

DEADLINE_SECONDS = 5.0
ROLE = "arn:aws:iam::000000000000:role/job"
_NOTHING: Any = StructureShape("Nothing", {"type": "structure", "members": {}})
SPARK_JOB = {"sparkSubmit": {"entryPoint": "s3://bucket/job.py"}}


@dataclass
class FakeDriver:
    """A driver that ends when a test says so."""

    request: DriverRequest
    exit_code: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    killed_after_grace: float | None = None
    ui_url: str | None = "http://127.0.0.1:4040"

    def __post_init__(self) -> None:
        self.request.work_dir.mkdir(parents=True)
        self.stdout = self.request.work_dir / "stdout"
        self.stderr = self.request.work_dir / "stderr"
        self.stdout.write_text("counted 10\n")
        self.stderr.write_text("")

    def finish(self, exit_code: int = 0, stderr: str = "") -> None:
        self.stderr.write_text(stderr)
        self.exit_code.set_result(exit_code)

    async def wait(self) -> int:
        return await asyncio.shield(self.exit_code)

    async def kill(self, grace_seconds: float) -> None:
        self.killed_after_grace = grace_seconds
        if not self.exit_code.done():
            self.exit_code.set_result(143)


class FakeWarmDrivers:
    """Pre-initialised capacity that is ready when a test says so."""

    def __init__(self, start_driver: StartDriver) -> None:
        self._start_driver = start_driver
        self.ready = asyncio.Event()
        self.stopped = False

    async def start_driver(self, request: DriverRequest) -> Driver:
        return await self._start_driver(request)

    async def start(self) -> None:
        await self.ready.wait()

    async def stop(self) -> None:
        self.stopped = True


class Harness:
    """The service, its client, and what it did to the outside."""

    def __init__(
        self,
        folder: Path,
        seconds_per_minute: float = 60.0,
        drivers_at_a_time: int = 100,
        quotas: ApiQuotas | None = None,
    ) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.drivers: list[FakeDriver] = []
        self.warm_drivers: list[FakeWarmDrivers] = []
        self.objects: dict[str, bytes] = {}
        self.lines: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.invalid_job_driver: Exception | None = None
        self._changed = asyncio.Event()
        self.service = EmrServerless(
            Surroundings(
                events=Events(self._record_event),
                logs=LogStores(self._put_object, self._put_lines, folder / "logs"),
                start_driver=self._start_driver,
                classifications=lambda _: [],
                warm_drivers=self._warm_drivers,
                driver_environment=lambda job_run: {"AWS_REGION": job_run.application.region},
                machine=Gate(lambda _, running: len(running) < drivers_at_a_time),
                work_dir=folder / "work",
                seconds_per_minute=seconds_per_minute,
            ),
            HistoryServer(self._start_driver, EventLogs(folder / "event-logs"), folder / "history-server"),
            quotas,
        )
        self.client = client_of(Api(self.service))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.service.shut_down()

    def create_application(self, **parameters: Any) -> str:
        request = {"releaseLabel": "emr-7.9.0", "type": "SPARK", "name": "tests", **parameters}
        application_id: str = self.client.create_application(**request)["applicationId"]
        return application_id

    def start_job_run(self, application_id: str, **parameters: Any) -> str:
        request = {"executionRoleArn": ROLE, "jobDriver": SPARK_JOB, **parameters}
        job_run_id: str = self.client.start_job_run(applicationId=application_id, **request)["jobRunId"]
        return job_run_id

    def job_run(self, application_id: str, job_run_id: str, **parameters: Any) -> dict[str, Any]:
        answer = self.client.get_job_run(applicationId=application_id, jobRunId=job_run_id, **parameters)
        description: dict[str, Any] = answer["jobRun"]
        return description

    async def application_reaches(self, application_id: str, state: str) -> None:
        await self.until(
            lambda: self.client.get_application(applicationId=application_id)["application"]["state"] == state
        )

    async def job_run_reaches(self, application_id: str, job_run_id: str, state: str) -> dict[str, Any]:
        await self.until(lambda: self.job_run(application_id, job_run_id)["state"] == state)
        return self.job_run(application_id, job_run_id)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; it is tried again after every event of the service."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def driver_of(self, job_run_id: str) -> FakeDriver:
        """The latest driver of a job run."""
        return next(driver for driver in reversed(self.drivers) if driver.request.job_run_id == job_run_id)

    def states_of(self, job_run_id: str) -> list[str]:
        """The states of a job run that were published, in order."""
        return [
            str(detail["state"])
            for kind, detail in self.events
            if kind == "EMR Serverless Job Run State Change" and detail["jobRunId"] == job_run_id
        ]

    def _record_event(self, _: Application, kind: str, detail: dict[str, Any], __: list[str]) -> None:
        self.events.append((kind, detail))
        self._changed.set()

    async def _start_driver(self, request: DriverRequest) -> FakeDriver:
        if self.invalid_job_driver:
            raise self.invalid_job_driver
        driver = FakeDriver(request)
        self.drivers.append(driver)
        return driver

    def _warm_drivers(self, application: Application) -> FakeWarmDrivers | None:
        if application.initial_drivers is None:
            return None
        self.warm_drivers.append(FakeWarmDrivers(self._start_driver))
        self._changed.set()
        return self.warm_drivers[-1]

    async def _put_object(self, bucket: str, key: str, content: bytes, _role_arn: str) -> None:
        if bucket == "missing":
            raise OSError("NoSuchBucket")
        self.objects[f"{bucket}/{key}"] = content

    async def _put_lines(self, group: str, stream: str, lines: list[str]) -> None:
        self.lines[group, stream] += lines
        self._changed.set()


class Answering(Protocol):
    """A service as ministack sees it."""

    def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], /
    ) -> Coroutine[Any, Any, tuple[int, dict[str, str], bytes]]: ...


def client_of(api: Answering, service: str = "emr-serverless") -> Any:
    """A boto3 client whose requests go to the service directly, and whose answers are checked for completeness."""
    client = _session().client(service, endpoint_url="http://local", config=Config(retries={"total_max_attempts": 1}))

    def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        url = urlsplit(request.url)
        content: Any = request.body or b""
        body = content.encode() if isinstance(content, str) else content
        target = request.headers.get("X-Amz-Target", b"")
        sent = {"x-amz-target": target.decode() if isinstance(target, bytes) else target}
        answering = api.handle_request(request.method, unquote(url.path), sent, body, parse_qs(url.query))
        try:
            answering.send(None)
        except StopIteration as answer:
            status, headers, answered = answer.value
        raw: Any = _Raw(answered)
        return AWSResponse(request.url, status, headers, raw)

    def check(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if "Error" not in parsed:
            answer = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
            report = ParamValidator().validate(answer, model.output_shape or _NOTHING)
            assert not report.has_errors(), report.generate_report()

    client.meta.events.register(f"before-send.{service}", send)
    client.meta.events.register(f"after-call.{service}", check)
    return client


@cache
def _session() -> Any:
    """One session, so that botocore reads its model once."""
    return boto3.Session("test", "test", region_name="us-east-1")


class _Raw(io.BytesIO):
    def stream(self, *_: Any, **__: Any) -> Any:
        while chunk := self.read():
            yield chunk


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[int, str, str]:
    """The status, code and message with which a call is refused."""
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    response = refused.value.response
    return (
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Code"],
        response["Error"]["Message"],
    )
