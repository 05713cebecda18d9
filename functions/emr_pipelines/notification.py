"""The text of a notification: plain, 72 columns wide, with the reason before everything else."""

import textwrap
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from emr_pipelines.clock import duration
from emr_pipelines.errors import Problem
from emr_pipelines.job_state import UNSUCCESSFUL_STATES
from emr_pipelines.reason import on_one_line
from emr_pipelines.run import CANCELLED, FAILED, SKIPPED, SUCCEEDED, TIMED_OUT, Job, Run

_WIDTH = 72
_SUBJECT_LIMIT = 100  # of SNS; it also wants plain ASCII on one line


_WORDS = {
    CANCELLED: "was cancelled",
    FAILED: "failed",
    SKIPPED: "was skipped",
    SUCCEEDED: "succeeded",
    TIMED_OUT: "timed out",
}


@dataclass(frozen=True)
class Notification:
    """What `NotificationTopic.publish` sends."""

    subject: str
    body: str
    attributes: dict[str, str]


def run_ended(run: Run, jobs: list[Job]) -> Notification:
    """Tell people how a run has ended."""
    failed = [job for job in jobs if job.state in UNSUCCESSFUL_STATES] if run.state != SUCCEEDED else []
    body = _ENVIRONMENT.get_template("run_ended.txt.j2").render(run=run, jobs=jobs, failed=failed)
    attributes = {"pipeline": run.pipeline or "unknown", "state": run.state}
    return Notification(_subject(run), body, attributes)


def file_rejected(detail: dict[str, Any]) -> Notification:
    """Tell people why a pipeline file was not registered, by the detail of the event that says so."""
    problems = [Problem(**problem) for problem in detail["problems"]]
    body = _ENVIRONMENT.get_template("pipeline_rejected.txt.j2").render(detail=detail, problems=problems)
    subject = _one_line(f"{detail['file']} was not registered: {problems[0]}")
    return Notification(subject, body, {"pipeline": detail["pipeline"] or "unknown", "state": "REJECTED"})


def trigger_rejected(detail: dict[str, Any]) -> Notification:
    """Tell people why a message can never start a run, by the detail of the event that says so."""
    body = _ENVIRONMENT.get_template("trigger_rejected.txt.j2").render(detail=detail)
    what = f"{detail['pipeline']} was not started" if detail["pipeline"] else "A trigger message started nothing"
    subject = _one_line(f"{what}: {detail['reason']}")
    return Notification(subject, body, {"pipeline": _one_line(detail["pipeline"]) or "unknown", "state": "REJECTED"})


def sweep_completed(detail: dict[str, Any]) -> Notification:
    """Tell people what a sweep has found, by the detail of the event that says so."""
    body = _ENVIRONMENT.get_template("sweep_completed.txt.j2").render(detail=detail)
    first, more = detail["leftovers"][0]["text"], detail["leftoverCount"] - 1
    subject = _one_line(f"Swept up{f' {more} more and' if more else ''} {first}")
    return Notification(subject, body, {"pipeline": "unknown", "state": "SWEPT"})


def _subject(run: Run) -> str:
    subject = f"{run.pipeline or 'A pipeline'} {_WORDS[run.state]}"
    if run.cause:
        subject += ": " + on_one_line(run.cause)
    return _one_line(subject)


def _one_line(text: str) -> str:
    subject = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
    return subject if len(subject) < _SUBJECT_LIMIT else subject[: _SUBJECT_LIMIT - 4] + "..."


def _wrapped(text: str, indent: str = "  ") -> str:
    """Wrap a text, but never break a URI or a name that somebody wants to copy."""
    lines = text.splitlines() or [""]
    return "\n".join(
        textwrap.fill(
            line,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines
    )


_ENVIRONMENT = Environment(
    loader=PackageLoader("emr_pipelines", "mails"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - plain text
)
_ENVIRONMENT.filters.update(duration=duration, wrapped=_wrapped)
