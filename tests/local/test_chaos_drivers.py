"""Real drivers that die in every way: each of their jobs fails with the reason, and the run with them."""

import pytest

from emrp.local import ACCOUNT_ID
from tests.local.deployed import DeployedStack

pytestmark = [pytest.mark.chaos, pytest.mark.spark]

APPLICATION = {"releaseLabel": "emr-7.9.0", "type": "SPARK", "lifecycle": "transient"}
_SESSION = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
PROGRAMS = {
    "killed": "import os\nos.kill(os.getppid(), 9)\n",
    "memory": f"{_SESSION}spark._jvm.java.util.ArrayList(2_000_000_000)\n",
    "bucket": f'{_SESSION}spark.range(3).write.csv("s3://nobody-has-made-this-bucket/result")\n',
    "role": 'print("done")\n',
}
REASONS = {"memory": "OutOfMemoryError", "bucket": "nobody-has-made-this-bucket", "role": "iam:PassRole"}


def test_every_job_says_why_it_failed_when_its_driver_or_what_it_needs_is_not_there(
    enforced_stack: DeployedStack,
) -> None:
    for name, program in PROGRAMS.items():
        enforced_stack.put(f"jobs/{name}.py", program)
    jobs = [
        {
            "name": name,
            "jobDriver": {"sparkSubmit": {"entryPoint": f"s3://{{{{ stack.bucket }}}}/jobs/{name}.py"}},
            **({"executionRoleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/of-others"} if name == "role" else {}),
        }
        for name in PROGRAMS
    ]
    run = enforced_stack.start("drivers", APPLICATION, jobs)

    assert enforced_stack.ended(run) == "FAILED"
    items = {name: enforced_stack.item(run, f"JOB#{name}") for name in PROGRAMS}
    assert {name: item["state"] for name, item in items.items()} == dict.fromkeys(PROGRAMS, "FAILED")
    for name, reason in REASONS.items():
        assert reason in items[name]["state_details"]
    assert len(enforced_stack.emails(run)) == 1
    assert enforced_stack.active_job_runs(run) == []
