"""S3 events, EventBridge patterns and transformers, SQS delays, DynamoDB transactions and indexes on the local AWS."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emrp.local import ACCOUNT_ID, REGION
from tests.local.conftest import LocalAwsUnderTest, eventually

Json = dict[str, Any]

EVENT: Json = {
    "version": "0",
    "id": "1",
    "source": "emr-pipelines",
    "detail-type": "Pipeline Run Succeeded",
    "account": ACCOUNT_ID,
    "time": "2026-11-21T12:00:00Z",
    "region": REGION,
    "resources": [],
    "detail": {"pipeline": "salaries", "jobs": 3, "path": "landing/salaries/2026/a.csv", "chain": ["raw", "clean"]},
}


@pytest.fixture
def rule_with_queue(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> Callable[..., Callable[[int], list[Json]]]:
    """Make a rule for a pattern, whose target is a new queue; returns what waits for so many of its messages."""

    def make(pattern: Json, **target: Any) -> Callable[[int], list[Json]]:
        name = unique("events")
        sqs, events = local_aws.client("sqs"), local_aws.client("events")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn} | target])
        bodies: list[Json] = []

        def wait_for(number: int) -> list[Json]:
            def enough() -> bool:
                found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
                bodies.extend(json.loads(message["Body"]) for message in found.get("Messages", []))
                return len(bodies) >= number

            eventually(enough)
            return bodies

        return wait_for

    return make


@pytest.fixture
def bucket(local_aws: LocalAwsUnderTest, unique: Callable[[str], str]) -> str:
    """A bucket that tells EventBridge everything."""
    name = unique("bucket")
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}})
    return name


def test_event_tells_how_an_object_came_and_went_when_a_bucket_sends_its_events(
    local_aws: LocalAwsUnderTest, bucket: str, rule_with_queue: Callable[..., Callable[[int], list[Json]]]
) -> None:
    s3 = local_aws.client("s3")
    received = rule_with_queue({"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}})
    key = "landing/a b+c/ü.csv"

    s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"123")["ETag"]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}]})

    details = sorted((event["detail"] | {"type": event["detail-type"]} for event in received(5)), key=sequencer)
    assert [(detail["type"], detail["reason"], detail["object"]["key"]) for detail in details] == [
        ("Object Created", "PutObject", key),
        ("Object Created", "CopyObject", "copy"),
        ("Object Created", "CompleteMultipartUpload", "parts"),
        ("Object Deleted", "DeleteObject", key),
        ("Object Deleted", "DeleteObject", "copy"),
    ]
    assert [detail["object"]["size"] for detail in details[:3]] == [5, 5, 3]
    assert {detail["deletion-type"] for detail in details[3:]} == {"Permanently Deleted"}
    assert len({sequencer(detail) for detail in details}) == 5
    assert not any("version-id" in detail["object"] for detail in details)


def test_event_names_the_version_when_a_bucket_keeps_versions(
    local_aws: LocalAwsUnderTest, bucket: str, rule_with_queue: Callable[..., Callable[[int], list[Json]]]
) -> None:
    s3 = local_aws.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    received = rule_with_queue({"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}})

    first = s3.put_object(Bucket=bucket, Key="x", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="x", Body=b"2")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="x")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="x", VersionId=first)

    details = sorted((event["detail"] for event in received(4)), key=sequencer)
    assert [detail["object"]["version-id"] for detail in details] == [first, second, marker, first]
    assert [detail.get("deletion-type") for detail in details] == [
        None,
        None,
        "Delete Marker Created",
        "Permanently Deleted",
    ]


def sequencer(detail: Json) -> str:
    value: str = detail["object"]["sequencer"]
    return value


@pytest.mark.parametrize(
    ("detail", "matches"),
    [
        ({"pipeline": [{"prefix": "sal"}]}, True),
        ({"pipeline": [{"prefix": "x"}]}, False),
        ({"path": [{"suffix": ".csv"}]}, True),
        ({"path": [{"suffix": ".CSV"}]}, False),
        ({"path": [{"wildcard": "landing/*/2026/*.csv"}]}, True),
        ({"path": [{"wildcard": "landing/*.parquet"}]}, False),
        ({"path": [{"anything-but": {"prefix": ["output/", "logs/"]}}]}, True),
        ({"path": [{"anything-but": {"prefix": ["output/", "landing/"]}}]}, False),
        ({"path": [{"anything-but": {"suffix": ".tmp"}}]}, True),
        ({"pipeline": [{"anything-but": ["salaries"]}]}, False),
        ({"pipeline": [{"exists": True}], "error": [{"exists": False}]}, True),
        ({"error": [{"exists": True}]}, False),
        ({"jobs": [{"numeric": [">", 0, "<=", 3]}]}, True),
        ({"jobs": [{"numeric": [">", 3]}]}, False),
        ({"$or": [{"pipeline": ["other"]}, {"jobs": [3]}]}, True),
        ({"$or": [{"pipeline": ["other"]}, {"jobs": [4]}]}, False),
        ({"pipeline": [{"equals-ignore-case": "SALARIES"}]}, True),
        ({"chain": ["clean"]}, True),
        ({"chain": [{"anything-but": ["raw"]}]}, True),
        ({"chain": ["other"]}, False),
    ],
    ids=json.dumps,
)
def test_pattern_matches_as_on_aws_when_it_filters_the_detail(
    local_aws: LocalAwsUnderTest, detail: Json, matches: bool
) -> None:
    answer = local_aws.client("events").test_event_pattern(
        EventPattern=json.dumps({"source": ["emr-pipelines"], "detail": detail}), Event=json.dumps(EVENT)
    )

    assert answer["Result"] is matches


def test_target_gets_the_whole_event_when_its_transformer_asks_for_it(
    local_aws: LocalAwsUnderTest,
    unique: Callable[[str], str],
    rule_with_queue: Callable[..., Callable[[int], list[Json]]],
) -> None:
    source = unique("source")
    template = (
        '{"pipeline": "x", "event": <aws.events.event.json>, "rule": "<aws.events.rule-arn>",'
        ' "ingested": "<aws.events.event.ingestion-time>", "job": "<job>"}'
    )
    received = rule_with_queue(
        {"source": [source]},
        InputTransformer={"InputPathsMap": {"job": "$.detail.job"}, "InputTemplate": template},
    )
    detail = {"job": 'a "quoted" one', "nested": {"list": [1, None, "<aws.events.rule-arn>"]}}
    safe = {"job": "plain", "nested": detail["nested"]}

    local_aws.client("events").put_events(
        Entries=[{"Source": source, "DetailType": "Done", "Detail": json.dumps(safe)}]
    )

    (body,) = received(1)
    assert body["event"]["detail"] == safe
    assert body["event"]["detail-type"] == "Done"
    assert body["event"]["id"]
    assert ":rule/" in body["rule"]
    assert body["job"] == "plain"
    assert datetime.fromisoformat(body["ingested"]).tzinfo == UTC


def test_message_arrives_after_its_delay_when_it_has_one(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    sqs = local_aws.client("sqs")
    url = sqs.create_queue(QueueName=unique("delay"))["QueueUrl"]
    sent = time.monotonic()

    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=2)

    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    assert message["Body"] == "later"
    assert time.monotonic() - sent >= 2


@pytest.fixture
def table(local_aws: LocalAwsUnderTest, unique: Callable[[str], str]) -> str:
    """A table with an index, as the stack has them."""
    name = unique("table")
    kinds = {"pk": "S", "sk": "S", "pipeline": "S", "started_at": "S"}
    local_aws.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in kinds.items()],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "RunsByPipeline",
                "KeySchema": [
                    {"AttributeName": "pipeline", "KeyType": "HASH"},
                    {"AttributeName": "started_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    return name


def item(key: str, **values: str) -> Json:
    return {name: {"S": value} for name, value in {"pk": key, "sk": "RUN", **values}.items()}


def test_transaction_writes_all_or_nothing_when_a_condition_fails(local_aws: LocalAwsUnderTest, table: str) -> None:
    dynamodb = local_aws.client("dynamodb")
    new = "attribute_not_exists(pk)"
    dynamodb.put_item(TableName=table, Item=item("b"))

    with pytest.raises(ClientError) as refused:
        dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": item("a"), "ConditionExpression": new}},
                {"Put": {"TableName": table, "Item": item("b"), "ConditionExpression": new}},
            ]
        )

    assert refused.value.response["Error"]["Code"] == "TransactionCanceledException"
    reasons: Any = refused.value.response
    assert [reason["Code"] for reason in reasons["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
    assert "Item" not in dynamodb.get_item(TableName=table, Key=item("a"))

    dynamodb.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": table, "Item": item("a"), "ConditionExpression": new}},
            {
                "Update": {
                    "TableName": table,
                    "Key": item("b"),
                    "UpdateExpression": "ADD files :one",
                    "ConditionExpression": "attribute_not_exists(files) OR files < :limit",
                    "ExpressionAttributeValues": {":one": {"N": "1"}, ":limit": {"N": "2"}},
                }
            },
        ]
    )
    assert dynamodb.get_item(TableName=table, Key=item("b"))["Item"]["files"] == {"N": "1"}


def test_index_has_the_newest_first_when_it_is_read_backwards_in_pages(
    local_aws: LocalAwsUnderTest, table: str
) -> None:
    dynamodb = local_aws.client("dynamodb")
    for number in (3, 1, 4, 2):
        dynamodb.put_item(TableName=table, Item=item(str(number), pipeline="x", started_at=f"2026-11-0{number}"))
    dynamodb.put_item(TableName=table, Item=item("other", pipeline="y", started_at="2026-11-09"))
    dynamodb.put_item(TableName=table, Item=item("without"))

    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        IndexName="RunsByPipeline",
        KeyConditionExpression="pipeline = :x",
        ExpressionAttributeValues={":x": {"S": "x"}},
        ScanIndexForward=False,
        PaginationConfig={"PageSize": 3},
    )

    assert [found["pk"]["S"] for page in pages for found in page["Items"]] == ["4", "3", "2", "1"]
