"""The file system behind `s3://`: all that Spark does with it, in one driver, against the local S3."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emrp.local.lifecycle import client_environment
from emrp.local.spark import DriverRequest, start_driver
from tests.local.conftest import LocalAwsUnderTest

OPERATIONS = Path(__file__).with_name("s3_operations.py")
UNUSUAL_NAMES = ["a b.txt", "c+d.txt", "e%20f.txt", "gül-☃-🚀.txt", "h&i=j?k#l.txt", "m:n'o(p)!*.txt"]

pytestmark = pytest.mark.spark


@pytest.fixture
def bucket(local_aws: LocalAwsUnderTest, unique: Callable[[str], str]) -> str:
    name = unique("operations")
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket=name)
    for file in UNUSUAL_NAMES:
        s3.put_object(Bucket=name, Key=f"unusual/{file}", Body=file.encode())
    return name


@pytest.fixture
def events(local_aws: LocalAwsUnderTest, bucket: str) -> Callable[[], list[dict[str, Any]]]:
    """What S3 says about the bucket; the queue is read when the function is called."""
    s3, sqs = local_aws.client("s3"), local_aws.client("sqs")
    url = sqs.create_queue(QueueName=bucket)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queue = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]})

    def read() -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                records += json.loads(message["Body"]).get("Records", [])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return records

    return read


async def test_every_operation_works_when_spark_uses_s3(
    local_aws: LocalAwsUnderTest,
    bucket: str,
    events: Callable[[], list[dict[str, Any]]],
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    driver = await start_driver(
        DriverRequest(
            application_id="application",
            job_run_id="job",
            name="operations",
            job_driver={"sparkSubmit": {"entryPoint": str(OPERATIONS), "entryPointArguments": [bucket]}},
            work_dir=tmp_path / "driver",
            environment=client_environment(local_aws.endpoint_url),
        )
    )
    assert await driver.wait() == 0, driver.stderr.read_text()[-2000:]
    results = [json.loads(line) for line in driver.stdout.read_text().splitlines()]
    assert len(results) >= 20
    for result in results:
        with subtests.test(result["operation"]):
            assert result["error"] is None, result["error"]

    created = Counter(record["s3"]["object"]["key"] for record in events())
    with subtests.test("one event per final object"):
        rewritten = {"work/unusual/copy"}
        once = {key: count for key, count in created.items() if "part-" in key}
        assert once, created
        assert {key: count for key, count in once.items() if count > 1} == {}
        assert rewritten <= created.keys()
    with subtests.test("no scratch reaches S3"):
        assert [key for key in created if "_temporary" in key or ".spark-staging" in key or key.endswith(".tmp")] == []
    with subtests.test("nothing is left on this machine"):
        assert not (driver.stdout.parent / "tmp").exists()
