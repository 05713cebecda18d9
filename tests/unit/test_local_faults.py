"""Faults of the local AWS strike what they are for, as often as they are told to, and the same with the same seed."""

from typing import Any

import pytest

from emrp.local.faults import Faults

EVENT = {"Source": "aws.emr-serverless", "DetailType": "EMR Serverless Job Run State Change", "Detail": "{}"}


def faults(**request: Any) -> Faults:
    made = Faults()
    made.replace(request)
    return made


def pattern(made: Faults, calls: int = 8) -> list[bool]:
    return [made.of_call("dynamodb:PutItem", "stack-PlanRunFunction-1") is not None for _ in range(calls)]


def test_fault_strikes_only_the_calls_between_when_it_skips_some_and_is_limited() -> None:
    made = faults(calls=[{"effect": "throttle", "operation": "dynamodb:*", "skip": 2, "times": 3}])

    assert pattern(made) == [False, False, True, True, True, False, False, False]
    assert made.struck() == {"calls": [3], "events": []}


@pytest.mark.parametrize("other", [{"operation": "s3:*"}, {"function": "*CleanUp*"}])
def test_fault_spares_a_call_when_it_is_for_another(other: dict[str, str]) -> None:
    assert not any(pattern(faults(calls=[{"effect": "error", **other}])))


def test_faults_strike_the_same_calls_when_the_seed_is_the_same() -> None:
    fault = {"effect": "kill", "probability": 0.5}
    first, again, other = (pattern(faults(seed=seed, calls=[fault]), 200) for seed in (1, 1, 2))

    assert first == again != other
    assert 60 < sum(first) < 140


def test_second_fault_strikes_when_the_first_is_used_up() -> None:
    made = faults(calls=[{"effect": "throttle", "times": 1}, {"effect": "error", "times": 1}])

    struck = [made.of_call("s3:GetObject", "f") for _ in range(3)]
    assert [fault and fault.effect for fault in struck] == ["throttle", "error", None]


@pytest.mark.parametrize(("state", "strikes"), [("SUCCESS", True), ("RUNNING", False)])
def test_fault_strikes_an_event_when_it_tells_of_the_state(state: str, strikes: bool) -> None:
    made = faults(events=[{"effect": "drop", "state": "SUCCESS"}])

    assert (made.of_event({**EVENT, "Detail": f'{{"state": "{state}"}}'}) is not None) == strikes


def test_event_of_another_source_passes_when_emr_s_are_dropped() -> None:
    assert faults(events=[{"effect": "drop"}]).of_event({**EVENT, "Source": "emr-pipelines"}) is None
