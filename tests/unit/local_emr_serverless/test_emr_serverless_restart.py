"""The local EMR Serverless keeps applications and job runs for its next start."""

import json
from pathlib import Path

from ministack.core.persistence import _json_default, _json_object_hook

from emrp.local.emr_serverless.job_run import ENDED_WITH_ITS_SERVER
from tests.unit.local_emr_serverless.harness import Harness


async def test_everything_is_there_again_when_the_service_has_been_restarted(tmp_path: Path) -> None:
    async with Harness(tmp_path) as emr:
        application = emr.create_application(clientToken="token", tags={"team": "data"})
        done = emr.start_job_run(application, tags={"run": "1"})
        await emr.job_run_reaches(application, done, "RUNNING")
        emr.drivers[0].finish()
        await emr.job_run_reaches(application, done, "SUCCESS")
        running = emr.start_job_run(application)
        await emr.job_run_reaches(application, running, "RUNNING")
        before = emr.job_run(application, done)
        saved = json.dumps(emr.service.get_state(), default=_json_default)  # as ministack writes it

    async with Harness(tmp_path) as emr:
        emr.service.restore(json.loads(saved, object_hook=_json_object_hook))
        assert emr.job_run(application, done) == before
        interrupted = emr.job_run(application, running)
        assert (interrupted["state"], interrupted["stateDetails"]) == ("FAILED", ENDED_WITH_ITS_SERVER)
        described = emr.client.get_application(applicationId=application)["application"]
        assert (described["state"], described["tags"]) == ("STARTED", {"team": "data"})
        assert emr.create_application(clientToken="token", tags={"team": "data"}) == application
        again = emr.start_job_run(application)
        await emr.job_run_reaches(application, again, "RUNNING")


async def test_nothing_is_left_when_the_service_is_reset(tmp_path: Path) -> None:
    async with Harness(tmp_path) as emr:
        application = emr.create_application()
        job_run = emr.start_job_run(application)
        await emr.job_run_reaches(application, job_run, "RUNNING")
        emr.service.reset()
        assert emr.client.list_applications()["applications"] == []
        await emr.until(emr.drivers[0].exit_code.done)
