import pytest

from emrp.local.patches.stepfunctions_task import retry_delay


@pytest.mark.parametrize(
    ("retrier", "delays"),
    [
        ({}, [1, 2, 4, 8]),
        ({"IntervalSeconds": 30, "BackoffRate": 3}, [30, 90, 270, 810]),
        ({"IntervalSeconds": 30, "BackoffRate": 3, "MaxDelaySeconds": 100}, [30, 90, 100, 100]),
    ],
)
def test_retry_delay_grows_to_its_maximum_when_a_task_fails_again(
    retrier: dict[str, float], delays: list[float]
) -> None:
    assert [retry_delay(retrier, retries) for retries in range(4)] == delays


def test_retry_delay_is_spread_when_jitter_is_full() -> None:
    retrier = {"IntervalSeconds": 100, "BackoffRate": 1, "JitterStrategy": "FULL"}
    delays = {retry_delay(retrier, 0) for _ in range(20)}
    assert len(delays) > 1
    assert all(0 <= delay <= 100 for delay in delays)
