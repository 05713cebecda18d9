"""Whether a job runs, once all of its upstream jobs have ended."""

from collections.abc import Mapping

from emr_pipelines.job_state import UNSUCCESSFUL_STATES, JobState


def reason_to_skip(run_if: str, upstream: Mapping[str, str]) -> str | None:
    """Return why a job does not run, given the final states of its upstream jobs by name; None when it runs."""
    if not upstream or run_if == "ALL_DONE":
        return None
    if run_if == "AT_LEAST_ONE_SUCCESS":
        return None if JobState.SUCCESS in upstream.values() else f"No upstream job succeeded ({_listing(upstream)})."
    if run_if == "ANY_FAILED":
        return (
            None if UNSUCCESSFUL_STATES & set(upstream.values()) else f"No upstream job failed ({_listing(upstream)})."
        )
    unsuccessful = {name: state for name, state in upstream.items() if state != JobState.SUCCESS}
    return f"Not every upstream job succeeded ({_listing(unsuccessful)})." if unsuccessful else None


def _listing(states: Mapping[str, str], most: int = 3) -> str:
    shown = [f"{name}: {state}" for name, state in list(states.items())[:most]]
    return ", ".join(shown + ([f"and {len(states) - most} more"] if len(states) > most else []))
