"""The local EMR Serverless delivers the logs of drivers."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from emrp.local.emr_serverless import logs
from tests.unit.local_emr_serverless.harness import Harness


def monitoring(**configuration: Any) -> dict[str, Any]:
    return {"monitoringConfiguration": configuration}


async def finished_job_run(emr: Harness, application: str, overrides: dict[str, Any], **parameters: Any) -> str:
    job_run = emr.start_job_run(application, configurationOverrides=overrides, **parameters)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.drivers[-1].finish(0, "first\nlast without end")
    await emr.job_run_reaches(application, job_run, "SUCCESS")
    return job_run


async def test_logs_are_stored_in_the_bucket_when_the_driver_has_ended(emr: Harness, application: str) -> None:
    monitoring = {"monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": "s3://bucket/logs/"}}}
    job_run = emr.start_job_run(application, configurationOverrides=monitoring)
    await emr.job_run_reaches(application, job_run, "RUNNING")
    emr.drivers[0].finish()
    await emr.job_run_reaches(application, job_run, "SUCCESS")
    folder = f"bucket/logs/applications/{application}/jobs/{job_run}/SPARK_DRIVER"
    assert set(emr.objects) == {f"{folder}/stdout.gz", f"{folder}/stderr.gz"}
    assert gzip.decompress(emr.objects[f"{folder}/stdout.gz"]) == b"counted 10\n"


async def test_logs_are_kept_by_attempt_when_the_job_run_may_be_retried(emr: Harness, application: str) -> None:
    overrides = monitoring(s3MonitoringConfiguration={"logUri": "s3://bucket"})
    job_run = await finished_job_run(emr, application, overrides, retryPolicy={"maxAttempts": 2})
    folder = f"bucket/applications/{application}/jobs/{job_run}/attempts/1/SPARK_DRIVER"
    assert set(emr.objects) == {f"{folder}/stdout.gz", f"{folder}/stderr.gz"}


async def test_logs_are_kept_in_managed_storage_when_that_is_not_switched_off(
    emr: Harness, application: str, tmp_path: Path
) -> None:
    kept = await finished_job_run(emr, application, monitoring())
    switched_off = monitoring(managedPersistenceMonitoringConfiguration={"enabled": False})
    not_kept = await finished_job_run(emr, application, switched_off)
    jobs = tmp_path / "logs" / "applications" / application / "jobs"
    assert gzip.decompress((jobs / kept / "SPARK_DRIVER" / "stdout.gz").read_bytes()) == b"counted 10\n"
    assert not (jobs / not_kept).exists()


async def test_logs_go_to_cloudwatch_when_it_is_enabled(emr: Harness, application: str) -> None:
    job_run = await finished_job_run(emr, application, monitoring(cloudWatchLoggingConfiguration={"enabled": True}))
    stream = f"/applications/{application}/jobs/{job_run}/SPARK_DRIVER"
    assert emr.lines == {
        ("/aws/emr-serverless", f"{stream}/stdout"): ["counted 10"],
        ("/aws/emr-serverless", f"{stream}/stderr"): ["first", "last without end"],
    }


async def test_chosen_logs_go_to_the_chosen_stream_when_cloudwatch_is_configured(
    emr: Harness, application: str
) -> None:
    chosen = {
        "enabled": True,
        "logGroupName": "jobs",
        "logStreamNamePrefix": "nightly",
        "logTypes": {"SPARK_DRIVER": ["STDERR"]},
    }
    job_run = await finished_job_run(emr, application, monitoring(cloudWatchLoggingConfiguration=chosen))
    stream = f"nightly/applications/{application}/jobs/{job_run}/SPARK_DRIVER/stderr"
    assert set(emr.lines) == {("jobs", stream)}


async def test_logs_are_refreshed_when_the_driver_is_still_running(
    emr: Harness, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "REFRESH_SECONDS", 0.001)
    overrides = monitoring(cloudWatchLoggingConfiguration={"enabled": True})
    emr.start_job_run(application, configurationOverrides=overrides)
    await emr.until(lambda: bool(emr.lines))
    assert list(emr.lines.values()) == [["counted 10"]]


async def test_job_run_succeeds_when_its_log_bucket_is_missing(emr: Harness, application: str) -> None:
    overrides = monitoring(s3MonitoringConfiguration={"logUri": "s3://missing/logs"})
    await finished_job_run(emr, application, overrides)
