"""What puts load on the local service: quotas that are raised, and jobs that only take time."""

import asyncio
from pathlib import Path

import pytest

from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.quotas import ApiQuotas, quotas_from
from emrp.local.emr_serverless.simulated import simulation
from emrp.local.spark import DriverRequest


def request(work_dir: Path) -> DriverRequest:
    return DriverRequest(
        application_id="app", job_run_id="run", name="job", job_driver={}, work_dir=work_dir / "run" / "1"
    )


@pytest.mark.parametrize(("times", "burst"), [(1, 25), (4, 100)])
def test_calls_are_throttled_later_when_quotas_are_raised(times: int, burst: int) -> None:
    quotas = ApiQuotas(lambda: 0.0, times=times)

    for _ in range(burst):
        quotas.take("StartJobRun")

    with pytest.raises(ApiError):
        quotas.take("StartJobRun")


def test_nothing_is_throttled_when_quotas_are_off() -> None:
    assert quotas_from("off") is None
    assert quotas_from("2") is not None


async def test_simulated_job_succeeds_when_its_seconds_are_over(tmp_path: Path) -> None:
    driver = await simulation(0)(request(tmp_path))

    assert await driver.wait() == 0
    assert driver.stdout.read_text() == driver.stderr.read_text() == ""


async def test_simulated_job_ends_when_it_is_killed(tmp_path: Path) -> None:
    driver = await simulation(3600)(request(tmp_path))
    waiting = asyncio.create_task(driver.wait())

    await driver.kill(0)

    assert await waiting != 0
