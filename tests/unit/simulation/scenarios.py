"""What the simulation is let loose on: pipelines, what their jobs do, and how bad the weather is."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.unit.simulation.emr_serverless import Behaviour
from tests.unit.simulation.world import Weather

PIPELINE_NAME = "simulated"
_RUN_IFS = ("ALL_SUCCESS", "ALL_DONE", "AT_LEAST_ONE_SUCCESS", "ANY_FAILED")
_MOST_JOBS = 7
_MOST_UPSTREAM = 3
JOB_RUN = {"jobDriver": {"sparkSubmit": {"entryPoint": "s3://bucket/jobs/program.py"}}}
_STEP = {
    "step": {"HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["spark-submit", "s3://bucket/jobs/program.py"]}}
}


@dataclass(frozen=True)
class PlannedJob:
    """A job of a pipeline file, or with `jobs` a group; `behaviours` says what its iterations do on EMR, in turn."""

    name: str
    depends_on: tuple[str, ...] = ()
    run_if: str = "ALL_SUCCESS"
    iterations: int | None = None
    max_concurrency: int = 1
    behaviours: tuple[Behaviour, ...] = (Behaviour(),)
    jobs: tuple["PlannedJob", ...] = ()

    def as_in_file(self, request: dict[str, Any]) -> dict[str, Any]:
        """The job as a pipeline file says it."""
        program = {"jobs": [job.as_in_file(request) for job in self.jobs]} if self.jobs else request
        fields: dict[str, Any] = {
            "name": self.name,
            "dependsOn": list(self.depends_on),
            "runIf": self.run_if,
            **program,
        }
        if self.iterations is not None:
            fields["forEach"] = {"number": list(range(self.iterations))}
            fields["maxConcurrency"] = self.max_concurrency
        return fields


@dataclass(frozen=True)
class Scenario:
    """One run; with `stopped_after`, somebody stops it when the functions have called so many gateways.

    It has an application with some `lifecycle`, or a transient cluster. Of one that `is_disturbed` nobody can tell
    beforehand how its jobs end.
    """

    jobs: tuple[PlannedJob, ...]
    weather: Weather
    seed: int = 0
    lifecycle: str = "shared"
    on_cluster: bool = False
    fail_fast: bool = False
    timeout_minutes: int | None = None
    stopped_after: int | None = None
    concurrency: dict[str, Any] | None = None
    is_disturbed: bool = False

    def as_file(self) -> dict[str, Any]:
        """The pipeline as a file says it."""
        application = {"releaseLabel": "emr-7.9.0", "type": "SPARK", "lifecycle": self.lifecycle}
        cluster = {"ReleaseLabel": "emr-7.9.0", "Instances": {"InstanceCount": 1}}
        return {
            "name": PIPELINE_NAME,
            **({"cluster": cluster} if self.on_cluster else {"application": application}),
            "failFast": self.fail_fast,
            "timeoutMinutes": self.timeout_minutes,
            "concurrency": self.concurrency,
            "jobs": [job.as_in_file(_STEP if self.on_cluster else JOB_RUN) for job in self.jobs],
        }

    def healed(self) -> "Scenario":
        """The same, with all jobs mended and nobody who stops the run."""
        jobs = tuple(_healed(job) for job in self.jobs)
        return replace(self, jobs=jobs, stopped_after=None)

    def behaviour(self, name: str) -> Behaviour:
        """What a job of the run does on EMR."""
        definition, _, iteration = name.partition(".")
        behaviours = self.job(definition).behaviours
        return behaviours[int(iteration or 0) % len(behaviours)]

    def job(self, definition: str) -> PlannedJob:
        """The job with a name in the pipeline file."""
        every = [inner for job in self.jobs for inner in (job, *job.jobs)]
        return next(job for job in every if job.name == definition)


def _healed(job: PlannedJob) -> PlannedJob:
    return replace(job, behaviours=(Behaviour(),), jobs=tuple(_healed(inner) for inner in job.jobs))


WEATHERS = st.builds(
    Weather,
    lost=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    repeated=st.sampled_from([0.0, 0.5]),
    delay=st.sampled_from([0.1, 1.0, 120.0]),
    killed=st.sampled_from([0.0, 0.01, 0.05]),
    throttled=st.sampled_from([0.0, 0.02]),
    latency=st.sampled_from([0.02, 0.1]),
    stalled=st.sampled_from([0.0, 0.02]),
)
BEHAVIOURS = st.builds(
    Behaviour,
    outcome=st.sampled_from(["SUCCESS", "SUCCESS", "FAILED", "CANCELLED"]),
    seconds=st.sampled_from([1.0, 60.0, 1000.0, 20_000.0]),
    is_refused=st.sampled_from([False] * 5 + [True]),
)
_ENDLESS = Behaviour(seconds=None)


@st.composite
def _jobs(draw: st.DrawFn, prefix: str, most: int) -> tuple[PlannedJob, ...]:
    """Jobs that depend on each other, in an order in which they could run."""
    jobs: list[PlannedJob] = []
    for number in range(draw(st.integers(1, most))):
        others = [job.name for job in jobs]
        depends_on = draw(st.lists(st.sampled_from(others), max_size=_MOST_UPSTREAM, unique=True)) if others else []
        jobs.append(
            PlannedJob(
                name=f"{prefix}{number}",
                depends_on=tuple(depends_on),
                run_if=draw(st.sampled_from(_RUN_IFS)) if depends_on else "ALL_SUCCESS",
                behaviours=tuple(draw(st.lists(BEHAVIOURS, min_size=1, max_size=3))),
            )
        )
    return tuple(jobs)


@st.composite
def _with_loops(draw: st.DrawFn, jobs: tuple[PlannedJob, ...]) -> tuple[PlannedJob, ...]:
    """Some of the jobs become loops, and some loops become groups."""
    looped = []
    for job in jobs:
        iterations = draw(st.sampled_from([None, None, None, 0, 1, 2, 4]))
        group = draw(_jobs(f"{job.name}-", 3)) if iterations is not None and draw(st.booleans()) else ()
        looped.append(replace(job, iterations=iterations, max_concurrency=draw(st.integers(1, 3)), jobs=group))
    return tuple(looped)


@st.composite
def scenarios(draw: st.DrawFn, weathers: st.SearchStrategy[Weather] = WEATHERS) -> Scenario:
    """A run with everything that can happen to it, in a file whose order of jobs says nothing."""
    jobs = draw(_jobs("j", _MOST_JOBS))
    if draw(st.booleans()):
        jobs = draw(_with_loops(jobs))
    scenario = Scenario(
        jobs=tuple(draw(st.permutations(jobs))),
        weather=draw(weathers),
        seed=draw(st.integers(0, 2**32)),
        lifecycle=draw(st.sampled_from(["shared", "transient"])),
        on_cluster=draw(st.booleans()),
        fail_fast=draw(st.booleans()),
        timeout_minutes=draw(st.sampled_from([None, None, 1, 30])),
        stopped_after=draw(st.none() | st.integers(1, 300)),
    )
    if scenario.stopped_after is not None or scenario.timeout_minutes is not None:
        scenario = replace(scenario, jobs=tuple(_sometimes_endless(draw, job) for job in scenario.jobs))
    return scenario


def _sometimes_endless(draw: st.DrawFn, job: PlannedJob) -> PlannedJob:
    return replace(job, behaviours=(_ENDLESS,)) if draw(st.sampled_from([False] * 5 + [True])) else job


@dataclass(frozen=True)
class Overlap:
    """Runs of one pipeline that start so many seconds after each other."""

    scenario: Scenario
    delays: tuple[float, ...]

    @property
    def run_ids(self) -> list[str]:
        """The runs in the order of their start."""
        return [f"simulated-{number}" for number in range(1, len(self.delays) + 1)]

    @property
    def limit(self) -> int:
        """How many runs there may be at the same time."""
        assert self.scenario.concurrency
        return int(self.scenario.concurrency["limit"])


@st.composite
def overlaps(
    draw: st.DrawFn, policy: str, *, most: int = 3, weathers: st.SearchStrategy[Weather] = WEATHERS
) -> Overlap:
    """Some runs, more than the concurrency of their pipeline allows at the same time."""
    behaviours = st.builds(
        Behaviour, outcome=st.sampled_from(["SUCCESS", "FAILED"]), seconds=st.sampled_from([1.0, 600.0])
    )
    scenario = Scenario(
        jobs=(PlannedJob("j0", behaviours=(draw(behaviours),)), PlannedJob("j1", ("j0",), "ALL_DONE")),
        weather=draw(weathers),
        seed=draw(st.integers(0, 2**32)),
        lifecycle=draw(st.sampled_from(["shared", "transient"])),
        concurrency={"limit": draw(st.integers(1, most)), "policy": policy},
    )
    return Overlap(scenario, tuple(draw(st.lists(st.sampled_from([1.0, 60.0, 1000.0]), min_size=2, max_size=6))))
