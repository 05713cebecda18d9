"""What a run costs in state transitions of Step Functions, counted from the state machines in statemachine/."""

from collections.abc import Sequence

from emr_pipelines.plan_run import groups
from emr_pipelines.run import Job

# Plan Run, Launch Application, Run Jobs, Clean Up, Did Every Job Succeed, Run Succeeded
PER_RUN = 6
# Run Job, Add Job Run
PER_JOB = 2
# Add Job Run is left for Wait For Upstream, and entered again
PER_WAIT = 2
# Run Job, Run Group: with more jobs than one Map runs at the same time
PER_GROUP = 2


def state_transitions(jobs: Sequence[Job]) -> int:
    """Return the transitions of a run in which all goes well.

    A job that runs longer than the heartbeat allows takes one more, and so does one that fails or is skipped.
    """
    run = [job for job in jobs if not job.ended]
    grouped = [group for group in groups([job.name for job in run]) if len(group) > 1]
    waiting = [job for job in run if job.waiting_for]
    return PER_RUN + PER_JOB * len(run) + PER_WAIT * len(waiting) + PER_GROUP * len(grouped)
