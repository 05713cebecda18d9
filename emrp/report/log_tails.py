"""The last lines that the drivers of a run have printed, as text that a page may show."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from emr_pipelines.run import Job

from emrp.driver_logs import driver_logs

_MOST_JOBS = 20
_LINES = 40
_BYTES = 1 << 15  # kept of each stream; its lines may be long
_TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class LogTail:
    """The end of one stream of one attempt."""

    job: str
    title: str
    text: str
    attempt: int | None = None
    is_of_last_attempt: bool = True


def read_log_tails(jobs: Sequence[Job]) -> list[LogTail]:
    """Return the ends of the logs of the jobs that failed and, as far as they are not too many, of the others."""
    ran = [job for job in jobs if job.job_run_id and not job.reused_from]
    chosen = sorted(ran, key=lambda job: not job.unsuccessful)[:_MOST_JOBS]
    return [tail for job in chosen for tail in _tails(job)]


def _tails(job: Job) -> list[LogTail]:
    logs = driver_logs(job, ("stdout", "stderr"), follow=False)
    ends: dict[tuple[int | None, str], bytes] = {}
    for chunk in logs.read() if logs else ():
        stream = chunk.attempt, chunk.title
        ends[stream] = (ends.get(stream, b"") + chunk.content)[-_BYTES:]
    last = max((attempt or 0 for attempt, _ in ends), default=0)
    return [
        LogTail(job.name, title, _last_lines(end), attempt, is_of_last_attempt=(attempt or 0) == last)
        for (attempt, title), end in sorted(ends.items(), key=lambda stream: stream[0][1], reverse=True)
        if end.strip()
    ]


def _last_lines(end: bytes) -> str:
    text = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", _TERMINAL_COLOURS.sub("", end.decode(errors="replace")))
    return "\n".join(text.rstrip().split("\n")[-_LINES:])
