"""What jobs and runs cost, from the record and the price table."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emr_pipelines import cost
from emr_pipelines.cost import (
    Prices,
    billed,
    cost_of_job,
    find_prices,
    job_cost,
    prices_of_run,
    recorded,
    run_cost,
    usd,
)
from emr_pipelines.run import RUNNING, SUCCEEDED, Job, Run
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import EXECUTION_ARN, RUN_ID

PRICES = Prices("us-east-1", "X86_64", "2026-08-13", 0.05, 0.006, 0.0001)
RESOURCES = {"vCPUHour": 2.0, "memoryGBHour": 10.0, "storageGBHour": 100.0}
COST = 2 * 0.05 + 10 * 0.006 + 100 * 0.0001
AMOUNTS = st.floats(0, 1e9, allow_nan=False)
OWN = "X86_64=0.05/0.006/0.0001"


def ended(state: str = SUCCEEDED, **more: Any) -> Run:
    more.setdefault("prices", recorded(PRICES))
    return Run(run_id=RUN_ID, execution_arn=EXECUTION_ARN, started_at="2026-11-21T12:00:00Z", state=state, **more)


def job(name: str = "process", **more: Any) -> Job:
    done: dict[str, Any] = {"state": "SUCCESS", "job_run_id": f"run-{name}", "resources": RESOURCES, **more}
    return Job(run_id=RUN_ID, pipeline="salaries", name=name, position=0, request={}, **done)


class TestPrices:
    """Where the prices come from."""

    def test_prices_are_in_the_table_when_the_region_is_known(self) -> None:
        prices = find_prices("us-east-1", "ARM64")

        assert prices == Prices("us-east-1", "ARM64", "2026-07-17", 0.042094, 0.004628, 0.000111)

    @pytest.mark.parametrize(("region", "architecture"), [("mars-north-1", "X86_64"), ("us-east-1", "RISC-V")])
    def test_prices_are_unknown_when_they_are_not_in_the_table(self, region: str, architecture: str) -> None:
        assert find_prices(region, architecture) is None

    def test_prices_are_those_of_the_stack_when_it_has_its_own(self) -> None:
        own = f"{OWN},ARM64=0.04/0.005/0.0001"

        for region in ("us-east-1", "mars-north-1"):
            x86, arm = find_prices(region, "X86_64", own), find_prices(region, "ARM64", own)
            assert x86 == Prices(region, "X86_64", "parameter of the stack", 0.05, 0.006, 0.0001)
            assert arm == Prices(region, "ARM64", "parameter of the stack", 0.04, 0.005, 0.0001)

    def test_other_architecture_keeps_the_price_of_the_table_when_the_stack_has_one_only(self) -> None:
        assert find_prices("us-east-1", "ARM64", OWN) == find_prices("us-east-1", "ARM64")

    def test_table_is_complete_when_shipped(self) -> None:
        table = json.loads(Path(cost.__file__).with_name("prices.json").read_text())

        assert len(table["regions"]) > 10
        for region, prices in table["regions"].items():
            assert prices.keys() - {"ARM64"} == {"stateTransition", "X86_64"}
            assert 1e-5 < prices["stateTransition"] < 1e-4
            for architecture in prices.keys() - {"stateTransition"}:
                found = find_prices(region, architecture)
                assert found
                assert found.dated
                assert 0.03 < found.vcpu_hour < 0.12
                assert 0.003 < found.memory_gb_hour < 0.012
                assert 0.0001 <= found.storage_gb_hour < 0.0004

    def test_graviton_is_cheaper_when_both_are_known(self) -> None:
        x86, arm = find_prices("us-east-1", "X86_64"), find_prices("us-east-1", "ARM64")

        assert x86
        assert arm
        assert arm.vcpu_hour < x86.vcpu_hour

    @given(AMOUNTS, AMOUNTS, AMOUNTS)
    def test_prices_are_the_same_when_they_went_through_the_record(
        self, vcpu: float, memory: float, disk: float
    ) -> None:
        prices = Prices("us-east-1", "X86_64", "today", vcpu, memory, disk)

        assert prices_of_run(ended(prices=json.loads(json.dumps(recorded(prices))))) == prices

    def test_prices_are_unknown_when_none_were_recorded(self) -> None:
        assert prices_of_run(ended(prices=recorded(None))) is None


class TestJob:
    """What EMR bills for a job."""

    def test_cost_is_the_sum_of_what_is_billed_when_the_job_has_ended(self) -> None:
        assert job_cost(RESOURCES, PRICES) == pytest.approx(COST)

    def test_cost_is_unknown_when_prices_or_resources_are(self) -> None:
        assert job_cost(RESOURCES, None) is None
        assert job_cost({}, PRICES) is None

    @pytest.mark.parametrize(
        "free",
        [job(reused_from="salaries-0"), job(state="SKIPPED", job_run_id=None, resources={})],
        ids=lambda j: j.state,
    )
    def test_job_costs_nothing_when_this_run_has_not_executed_it(self, free: Job) -> None:
        assert cost_of_job(free, None) == 0

    def test_cost_is_unknown_when_the_job_still_runs(self) -> None:
        assert cost_of_job(job(state="RUNNING", resources={}), PRICES) is None
        assert cost_of_job(job(state="NOT_SUBMITTED", job_run_id=None, resources={}), PRICES) is None

    @given(st.lists(st.fixed_dictionaries(dict.fromkeys(RESOURCES, st.floats(0, 1e6))), max_size=20))
    def test_jobs_cost_what_their_sum_costs_when_added_up(self, resources: list[dict[str, float]]) -> None:
        jobs = [job(f"job-{number}", resources=used) for number, used in enumerate(resources)]

        parts = sum(job_cost(used, PRICES) or 0 for used in resources)

        assert (job_cost(billed(jobs), PRICES) or 0) == pytest.approx(parts)


class TestRun:
    """What a run costs with everything around its jobs."""

    def test_run_costs_its_jobs_and_what_drives_them_when_it_has_ended(self) -> None:
        told = run_cost(ended(), [job("a"), job("b", reused_from="salaries-0")])

        assert told.emr == pytest.approx(COST)
        assert told.step_functions == pytest.approx(8 * 0.000025)  # 6 of the run, 2 of job a
        assert 0 < told.functions < 0.0001
        assert told.total == pytest.approx(COST + 8 * 0.000025 + told.functions)

    def test_transitions_are_more_when_jobs_waited_failed_or_took_long(self) -> None:
        states: Any = [{"state": "RUNNING", "at": "2026-11-21T12:00:00Z"}]
        jobs = [
            job("first", states=states, ended_at="2026-11-21T13:00:00Z"),  # 2, and Check Status
            job("second", upstream_token="token", state="FAILED"),  # 2, 2 to wait, 2 to fail
        ]

        told = run_cost(ended(), jobs)

        assert told.step_functions == pytest.approx((6 + 3 + 6) * 0.000025)

    @pytest.mark.parametrize(
        ("run", "jobs"),
        [
            (ended(prices={}), [job()]),
            (ended(RUNNING), [job()]),
            (ended(), [job(), job("cancelled", state="CANCELLING", resources={})]),
        ],
        ids=["no prices", "run goes on", "job goes on"],
    )
    def test_total_is_unknown_when_a_part_is(self, run: Run, jobs: list[Job]) -> None:
        assert run_cost(run, jobs).total is None

    def test_total_is_unknown_when_the_region_is(self) -> None:
        run = replace(ended(), execution_arn=EXECUTION_ARN.replace("us-east-1", "mars-north-1"))

        assert run_cost(run, []).total is None

    def test_run_costs_little_when_it_never_had_jobs(self) -> None:
        told = run_cost(ended(prices={}), [])

        assert told.emr == 0
        assert told.total
        assert told.total < 0.001


class TestMoney:
    """How money is written."""

    @pytest.mark.parametrize(
        ("amount", "text"),
        [
            (None, "-"),
            (0, "$0.00"),
            (0.00001, "<$0.0001"),
            (0.0123456, "$0.0123"),
            (0.5, "$0.5000"),
            (0.99996, "$1.00"),
            (12.345678, "$12.35"),
            (1234567.891, "$1,234,567.89"),
        ],
    )
    def test_amount_is_written_as_people_read_it_when_shown(self, amount: float | None, text: str) -> None:
        assert usd(amount) == text

    @given(AMOUNTS)
    def test_amount_is_nearly_what_is_written_when_read_back(self, amount: float) -> None:
        text = usd(amount)

        written = float(text.removeprefix("<").removeprefix("$").replace(",", ""))
        assert written == pytest.approx(amount, abs=0.0001 if amount < 1 else 0.0051)
