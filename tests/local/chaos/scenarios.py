"""What runs are to do while everything around them fails: on EMR Serverless, on a cluster, on that of a template."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.simulation.oracle import runs

KILLED = 137  # the exit code of a driver that was ended with kill -9
# Patterns for all but SNS, which cannot be asked to take a message only once.
_NOT_SNS = ("[!s]*", "s[!n]*")
# Where the jobs of a run run: on an application that stays, on one that is made for it, on a cluster, on a stack's.
SHARED, TRANSIENT, CLUSTER, STACK = "shared", "transient", "cluster", "stack"
TEMPLATE = Path(__file__).parent.with_name("cluster_template.yaml")
_RUN_IFS = ("ALL_SUCCESS", "ALL_DONE", "AT_LEAST_ONE_SUCCESS", "ANY_FAILED")


@dataclass(frozen=True)
class PlannedJob:
    """A job that takes some seconds; then its driver ends with an exit code."""

    name: str
    depends_on: tuple[str, ...] = ()
    run_if: str = "ALL_SUCCESS"
    exit_code: int = 0
    seconds: float = 0.1

    def definition(self, where: str) -> dict[str, Any]:
        """The job as a pipeline file says it."""
        entry_point, arguments = "s3://bucket/job.py", [f"seconds={self.seconds}", f"exit={self.exit_code}"]
        if where in {CLUSTER, STACK}:
            jar = {"Jar": "command-runner.jar", "Args": ["spark-submit", entry_point, *arguments]}
            program: dict[str, Any] = {"step": {"HadoopJarStep": jar}}
        else:
            program = {"jobDriver": {"sparkSubmit": {"entryPoint": entry_point, "entryPointArguments": arguments}}}
        return {"name": self.name, "dependsOn": list(self.depends_on), "runIf": self.run_if, **program}


@dataclass(frozen=True)
class Scenario:
    """A run; `stopped` says that somebody will stop it, so that its jobs may be CANCELLED."""

    jobs: tuple[PlannedJob, ...] = (PlannedJob("a"), PlannedJob("b", ("a",)))
    pipeline: str = "chaos"
    where: str = SHARED
    stopped: bool = False
    timeout_minutes: int | None = None

    def definition(self) -> dict[str, Any]:
        """The pipeline as a file says it."""
        timeout = {"timeoutMinutes": self.timeout_minutes} if self.timeout_minutes else {}
        jobs = [job.definition(self.where) for job in self.jobs]
        return {"name": self.pipeline, **_resource(self.where), "jobs": jobs, **timeout}

    def expected(self) -> dict[str, str]:
        """How each job must end, unless the run is stopped."""
        states: dict[str, str] = {}
        for job in self.jobs:
            is_run = runs(job.run_if, [states[name] for name in job.depends_on])
            states[job.name] = "SKIPPED" if not is_run else "FAILED" if job.exit_code else "SUCCESS"
        return states


def _resource(where: str) -> dict[str, Any]:
    """The application or the cluster as a pipeline file says it."""
    group = {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}
    if where == CLUSTER:
        return {"cluster": {"ReleaseLabel": "emr-7.9.0", "Instances": {"InstanceGroups": [group]}}}
    if where == STACK:
        return {"cluster": {"template": f"s3://{{{{ stack.bucket }}}}/{TEMPLATE.name}", "parameters": {"Nodes": 1}}}
    return {"application": {"releaseLabel": "emr-7.9.0", "type": "SPARK", "lifecycle": where}}


def random_scenario(seed: object) -> Scenario:
    """A run with some jobs that depend on each other, of which some fail."""
    chance = random.Random(str(seed))  # noqa: S311 -- protects nothing
    jobs: list[PlannedJob] = []
    for number in range(chance.randint(1, 4)):
        others = [job.name for job in jobs]
        upstream = tuple(chance.sample(others, min(len(others), chance.randint(0, 2))))
        jobs.append(
            PlannedJob(
                f"j{number}",
                upstream,
                chance.choice(_RUN_IFS) if upstream else "ALL_SUCCESS",
                KILLED if chance.random() < 0.2 else 0,
                chance.choice([0.0, 0.1, 0.5]),
            )
        )
    return Scenario(tuple(jobs), where=chance.choice([SHARED, SHARED, TRANSIENT, CLUSTER, STACK]))


def random_faults(seed: int, probability: float) -> dict[str, Any]:
    """Faults of every kind, of which about so many strike a call or an event; a function is killed by one in 25."""
    share, killed = 0.24 * probability, 0.02 * probability
    return {
        "seed": seed,
        "calls": [
            {"effect": "throttle", "probability": share},
            {"effect": "error", "probability": share},
            {"effect": "delay", "probability": share, "seconds": 1.0},
            {"effect": "kill", "probability": killed},
            *(
                {"effect": effect, "probability": probability, "after": True, "operation": operation}
                for effect, probability in (("error", share), ("kill", killed))
                for operation in _NOT_SNS
            ),
        ],
        "events": [
            {"effect": "drop", "probability": probability},
            {"effect": "repeat", "probability": probability},
            {"effect": "delay", "probability": probability, "seconds": 4.0},
            {"effect": "shuffle", "probability": probability, "seconds": 1.0},
        ],
    }
