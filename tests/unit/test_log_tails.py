"""The end of a driver's log is read when that is quick; whatever is wrong with it, nobody waits and nothing fails."""

import gzip
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from emr_pipelines.gateways import log_tails
from emr_pipelines.gateways.log_tails import LogTails

FOLDER = "s3://bucket/logs/applications/app1/jobs/run1/SPARK_DRIVER/"
KEY = FOLDER.removeprefix("s3://bucket/")


def tail(s3: Any) -> str | None:
    return LogTails().read({"job": FOLDER})["job"]


def test_read_returns_both_streams_with_the_exception_last_when_both_are_there(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key=f"{KEY}stderr.gz", Body=gzip.compress("ValueError: é\n".encode()))
    s3.put_object(Bucket="bucket", Key=f"{KEY}stdout.gz", Body=gzip.compress(b"rows 10\n"))

    assert tail(s3) == "rows 10\n\nValueError: é\n"


def test_read_returns_the_end_when_the_log_is_long(s3: Any) -> None:
    lines = "".join(f"line {number}\n" for number in range(100_000))
    s3.put_object(Bucket="bucket", Key=f"{KEY}stderr.gz", Body=gzip.compress(lines.encode()))

    told = tail(s3)
    assert told
    assert told.endswith("line 99999\n")
    assert len(told) <= 1 << 15


# Named, because gzip writes the time into the body, and a test's name may not change between two processes.
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"x" * 9999)[:-9], id="cut off"),
        pytest.param(gzip.compress(b"y")[:12] + b"broken", id="broken inside"),
    ],
)
def test_read_returns_what_it_can_when_a_file_is_broken(s3: Any, body: bytes) -> None:
    s3.put_object(Bucket="bucket", Key=f"{KEY}stdout.gz", Body=gzip.compress(b"rows 10\n"))
    s3.put_object(Bucket="bucket", Key=f"{KEY}stderr.gz", Body=body)

    told = tail(s3)
    assert told
    assert told.strip() == "rows 10"


def test_read_gives_up_when_the_log_is_a_bomb(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tails, "_MOST_BYTES", 1 << 20)
    s3.put_object(Bucket="bucket", Key=f"{KEY}stderr.gz", Body=gzip.compress(b"x" * (1 << 22)))

    assert tail(s3) is None


def test_read_asks_for_nothing_more_when_its_time_is_over(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put_object(Bucket="bucket", Key=f"{KEY}stderr.gz", Body=gzip.compress(b"late\n"))
    monkeypatch.setattr(log_tails, "_DEADLINE_SECONDS", -1)

    assert tail(s3) is None


def test_read_returns_none_when_s3_does_not_answer_or_there_is_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        def get_object(self, **_request: str) -> None:
            raise ReadTimeoutError(endpoint_url="https://s3")

    tails = LogTails()
    monkeypatch.setattr(tails, "_s3", Dead())

    assert tails.read({"job": FOLDER, "other": None}) == {"job": None, "other": None}
