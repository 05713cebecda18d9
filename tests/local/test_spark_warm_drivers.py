"""Pre-initialised capacity on real Spark."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from emrp.local.spark import DriverRequest, WarmDrivers

REPORT = """
import os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.sparkContext.appName, spark.conf.get("spark.sql.shuffle.partitions"), spark.range(3).count(), sys.argv[1:])
os.mkdir("left-behind")
if "fail" in sys.argv:
    raise ValueError("as told")
"""
ENVIRONMENT = {"AWS_REGION": "eu-west-1"}
Request = Callable[..., DriverRequest]

pytestmark = pytest.mark.spark


@pytest.fixture
async def drivers(tmp_path: Path) -> AsyncIterator[WarmDrivers]:
    warm = WarmDrivers(1, tmp_path / "warm", ENVIRONMENT, memory="2g")
    await warm.start()
    yield warm
    await warm.stop()
    assert not warm.waiting
    assert not (tmp_path / "warm").exists()


@pytest.fixture
def request_for(tmp_path: Path) -> Request:
    script = tmp_path / "report.py"
    script.write_text(REPORT)

    def make(job_run_id: str, *arguments: str, **job_driver: Any) -> DriverRequest:
        submit = {"entryPoint": str(script), "entryPointArguments": arguments, **job_driver}
        work_dir = tmp_path / job_run_id
        return DriverRequest("a", job_run_id, "a job", {"sparkSubmit": submit}, work_dir, [], ENVIRONMENT)

    return make


async def test_waiting_driver_runs_the_job_when_the_job_suits_it(
    drivers: WarmDrivers, request_for: Request, tmp_path: Path
) -> None:
    request = request_for("job", "a b", sparkSubmitParameters="--name mine --conf spark.sql.shuffle.partitions=3")
    driver = await drivers.start_driver(request)
    assert not drivers.waiting
    assert await driver.wait() == 0, driver.stderr.read_text()[-2000:]
    assert driver.stdout == tmp_path / "job" / "stdout"
    assert driver.stdout.read_text() == "mine 3 3 ['a b']\n"
    assert "warm-up" not in driver.stderr.read_text()
    assert not (tmp_path / "warm" / "1").exists()


async def test_exit_code_is_the_job_s_when_it_fails_in_a_waiting_driver(
    drivers: WarmDrivers, request_for: Request
) -> None:
    driver = await drivers.start_driver(request_for("job", "fail"))
    assert await driver.wait() == 1
    assert "ValueError: as told" in driver.stdout.read_text()


@pytest.mark.parametrize(
    "parameters",
    [
        "--conf spark.driver.extraJavaOptions=-Da=b",
        "--driver-memory 3g",
        "--conf spark.emr-serverless.driverEnv.A=b",
    ],
)
async def test_driver_is_a_new_one_when_the_job_needs_another_jvm(
    drivers: WarmDrivers, request_for: Request, parameters: str
) -> None:
    driver = await drivers.start_driver(request_for("job", sparkSubmitParameters=parameters))
    await driver.kill(grace_seconds=0)
    assert len(drivers.waiting) == 1


async def test_driver_is_a_new_one_when_the_waiting_one_was_killed(
    drivers: WarmDrivers, request_for: Request, tmp_path: Path
) -> None:
    (waiting,) = drivers.waiting
    await waiting.kill(grace_seconds=0)
    driver = await drivers.start_driver(request_for("job"))
    assert driver is not waiting
    await driver.kill(grace_seconds=0)
