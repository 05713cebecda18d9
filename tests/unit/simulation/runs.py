"""Runs scenarios in the simulated world, and checks what must be true of every run."""

import math
import os
import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import accumulate
from typing import Any

from emr_pipelines.pipeline import check_definition
from emr_pipelines.run import CANCELLED, FAILED, SKIPPED, SUCCEEDED, TIMED_OUT, Job, Run
from hypothesis import HealthCheck, settings

from tests.unit.simulation.emr_serverless import SimulatedJobRun
from tests.unit.simulation.happenings import BEGINNING
from tests.unit.simulation.oracle import runs
from tests.unit.simulation.scenarios import PIPELINE_NAME, Overlap, Scenario
from tests.unit.simulation.state_machines import PIPELINE
from tests.unit.simulation.world import World

RUN_ID, REPAIR_ID = "simulated-1", "simulated-2"
_FINAL = {"SUCCESS", "FAILED", "CANCELLED", "SKIPPED"}
_HORIZON = 40 * 86_400.0
_RUNS = os.environ.get("SIMULATED_RUNS")  # for a long search; without it each test makes the same runs every time


def simulated(runs: int) -> settings:
    """The settings of a test that simulates so many runs."""
    return settings(
        max_examples=int(_RUNS or runs),
        derandomize=_RUNS is None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def simulate(scenario: Scenario) -> World:
    """Run a scenario until nothing happens any more."""
    world = deployed(scenario)
    with world.functions_deployed():
        run_to_end(world, scenario)
    return world


def simulate_repair(scenario: Scenario) -> World:
    """Run a scenario, then mend its jobs and repair the run."""
    world = deployed(scenario)
    with world.functions_deployed():
        run_to_end(world, scenario)
        world.emr.behave = lambda _, job: scenario.healed().behaviour(job)
        start(world, REPAIR_ID, {"repair": RUN_ID})
        world.happenings.run(until=2 * _HORIZON)
    return world


def simulate_overlap(overlap: Overlap) -> World:
    """Run a pipeline several times."""
    world = deployed(overlap.scenario)
    with world.functions_deployed():
        for run_id, delay in zip(overlap.run_ids, accumulate(overlap.delays), strict=True):
            world.happenings.after(delay, partial(start, world, run_id, {"pipeline": PIPELINE_NAME}))
        world.happenings.run(until=_HORIZON)
    return world


def run_to_end(world: World, scenario: Scenario) -> None:
    """Start the run of a scenario, and let everything happen that follows."""
    start(world, RUN_ID, {"pipeline": PIPELINE_NAME})
    if scenario.stopped_after is not None:
        arn = world.step_functions.run(RUN_ID).arn
        world.after_calls(scenario.stopped_after, lambda: world.step_functions.stop_execution(arn, "", ""))
    world.happenings.run(until=_HORIZON)


def deployed(scenario: Scenario) -> World:
    """Return a world in which the pipeline of a scenario is registered."""
    world = World(scenario.seed, scenario.weather, lambda _, job: scenario.behaviour(job))
    world.registry.put(check_definition(scenario.as_file()))
    return world


def start(world: World, run_id: str, run_input: dict[str, Any]) -> None:
    """Start a run."""
    world.keep_swept()
    world.step_functions.start(PIPELINE, run_id, run_input, lambda _: None)


def check(world: World, scenario: Scenario, run_id: str = RUN_ID) -> Run:
    """Check everything that must be true once a run has ended; return the run."""
    check_end(world)
    run = world.record.get_run(run_id)
    assert run is not None
    RunCheck(world, scenario, run).check()
    return run


def check_end(world: World) -> None:
    """Check that everything has ended, and that no function met what it did not expect."""
    assert world.crashes == []
    assert [function for function, *_ in world.undelivered if function == "clean_up"] == []  # others have heartbeats
    executions = world.step_functions.executions.values()
    assert [execution.name for execution in executions if execution.status == "RUNNING"] == []
    running = [job_run.job_run_id for job_run in world.emr.job_runs.values() if job_run.ended is None]
    assert running == []
    assert world.record.list_open_runs() == []


def check_promptness(world: World, seconds: float) -> None:
    """Check that nobody waited for a heartbeat: the next jobs, those that failFast cancels, the end of the run."""
    run = world.record.get_run(RUN_ID)
    assert run is not None
    jobs = {job.name: job for job in world.record.list_jobs(RUN_ID)}
    ended = {job.name: _seconds(job.ended_at) for job in jobs.values() if job.ended_at}
    for job_run in world.emr.job_runs.values():
        job = jobs[job_run.job]
        last = max((ended[name] for name in (*job.upstream, *job.after)), default=job_run.started)
        assert job_run.started - last < seconds
    if world.emr.job_runs:
        assert _seconds(run.ended_at or "") - max(ended.values()) < seconds
    if run.fail_fast:
        failed = min((ended[job.name] for job in jobs.values() if job.state == "FAILED"), default=math.inf)
        assert all(job_run.started < failed + seconds for job_run in world.emr.job_runs.values())
        assert all(job_run.states[-1][0] < failed + seconds for job_run in world.emr.job_runs.values())


def _seconds(moment: str) -> float:
    return (datetime.fromisoformat(moment) - BEGINNING).total_seconds()


def most_at_once(world: World, run_ids: set[str]) -> int:
    """Return how many of some runs had job runs at the same time."""
    changes = []
    for run_id in run_ids:
        job_runs = [job_run for job_run in world.emr.job_runs.values() if job_run.run_id == run_id]
        if job_runs:
            changes.append((min(job_run.started for job_run in job_runs), 1))
            changes.append((max(job_run.ended or 0 for job_run in job_runs), -1))
    return max(accumulate(change for _, change in sorted(changes)), default=0)


@dataclass
class RunCheck:
    """What must be true of one run that has ended."""

    world: World
    scenario: Scenario
    run: Run

    def __post_init__(self) -> None:
        self.jobs = {job.name: job for job in self.world.record.list_jobs(self.run.run_id)}
        self.job_runs: dict[str, list[SimulatedJobRun]] = {name: [] for name in self.jobs}
        for job_run in self.world.emr.job_runs.values():
            if job_run.run_id == self.run.run_id:
                self.job_runs[job_run.job].append(job_run)

    def check(self) -> None:
        self._check_run()
        for job in self.jobs.values():
            self._check_job(job)
            if not self.scenario.is_disturbed:  # one that is cancelled while it is submitted may take its time to end
                for job_run in self.job_runs[job.name]:
                    self._check_order(job, job_run)
        if self.run.lifecycle == "transient":
            states = [application.state for application in self.world.emr.applications.values()]
            states += [cluster.state for cluster in self.world.clusters.clusters.values()]
            assert set(states) <= {"TERMINATED", "TERMINATED_WITH_ERRORS"}
        if self.scenario.on_cluster:
            assert len(self.world.clusters.of_run(self.run.run_id)) <= 1

    def _check_run(self) -> None:
        run = self.run
        assert run.settled
        status = self.world.step_functions.run(run.run_id).status
        if status != "ABORTED":  # one that is stopped at its very end may have any end
            assert (run.state in {SUCCEEDED, SKIPPED}) == (status == "SUCCEEDED")
            is_bad = not self.jobs or any(job.state in {"FAILED", "CANCELLED"} for job in self.jobs.values())
            allowed = {FAILED, SKIPPED} if is_bad else {SUCCEEDED}
            if self.scenario.is_disturbed:  # a job that has no end when the run must have one may still end well
                allowed |= {FAILED}
            assert run.state in (allowed | {TIMED_OUT} if run.deadline else allowed)
        assert self._told() == {f"{run.run_id}/{run.state}"} | {
            f"{run.run_id}/{job.name}/{job.state}" for job in self.jobs.values() if not job.reused_from
        }

    def _told(self) -> set[str]:
        """The ids of the events about ends that were published; each comes to people once."""
        ends = re.compile(r"(Pipeline|Job) Run (Succeeded|Failed|Cancelled|Skipped|Timed Out)")
        events = self.world.published.events
        return {
            event.detail["id"]
            for event in events
            if event.detail.get("run") == self.run.run_id and ends.match(event.detail_type)
        }

    def _check_job(self, job: Job) -> None:
        """Check that a job's end follows from its upstream and what it did on EMR."""
        job_runs = self.job_runs[job.name]
        if job.reused_from:
            assert (job.state, job_runs) == ("SUCCESS", [])
            return
        assert len(job_runs) <= 1
        assert (job.state in _FINAL, job.settled) == (True, True)
        if job.state == "CANCELLED" and not job.job_run_id and self._was_interrupted():
            # Whoever submitted it after all was killed before noting it: the sweep has found the job run by its tags.
            assert all(job_run.ended for job_run in job_runs)
            return
        assert [job_run.job_run_id for job_run in job_runs] == ([job.job_run_id] if job.job_run_id else [])
        assert [job_run.state for job_run in job_runs] == [job.state] * len(job_runs)
        if not self.scenario.is_disturbed:
            self._check_outcome(job, job_runs)

    def _check_outcome(self, job: Job, job_runs: list[SimulatedJobRun]) -> None:
        """Check that a job has ended as was to be."""
        planned = self.scenario.job(job.definition)
        upstream = [self.jobs[name].state for name in job.upstream]
        if job.state == "SKIPPED":
            assert job_runs == []
            if upstream:
                assert not runs(job.run_if, upstream)
            else:
                assert planned.iterations == 0 or planned.run_if == "ANY_FAILED"
        elif job.state != "CANCELLED" or not self._was_interrupted():
            assert runs(job.run_if, upstream)
            expected = self.scenario.behaviour(job.name)
            if expected.is_refused:
                assert (job.state, job_runs) == ("FAILED", [])
            else:
                assert [job_run.state for job_run in job_runs] == [job.state] == [expected.outcome]

    def _was_interrupted(self) -> bool:
        is_stopped = self.run.state in {CANCELLED, SKIPPED, TIMED_OUT} or self.run.stopping is not None
        return is_stopped or self.scenario.is_disturbed

    def _check_order(self, job: Job, job_run: SimulatedJobRun) -> None:
        """Check that a job run began only after all that comes before it had ended."""
        before = {*job.upstream, *job.after}
        planned = self.scenario.job(job.definition)
        before |= {
            other.name for other in self.jobs.values() if other.definition in planned.depends_on and not job.loop
        }
        for name in before:
            other = self.jobs[name]
            assert other.ended_at is not None
            assert all(
                earlier.ended is not None and earlier.ended <= job_run.started for earlier in self.job_runs[name]
            )
