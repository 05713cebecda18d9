from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

from emr_pipelines.clock import iso_time
from emr_pipelines.run import Job, Run
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from emrp.glyphs import glyphs
from emrp.job_table import job_tree, live_jobs
from emrp.job_tree import rows
from emrp.timeline import Phase, bar, frame, seconds_by_phase, spans
from emrp.usual import Usual

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN = Run(
    run_id="graph-1",
    execution_arn="arn",
    started_at=iso_time(START),
    state="FAILED",
    ended_at=iso_time(START + timedelta(seconds=100)),
)
SCREEN = Console(file=StringIO(), width=100, height=30, color_system=None, legacy_windows=False, _environ={})


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def job(name: str, state: str = "NOT_SUBMITTED", *upstream: str, **more: Any) -> Job:
    values = {"run_id": "graph-1", "pipeline": "graph", "position": 0, "request": {}}
    return Job(name=name, state=state, upstream=list(upstream), **{**values, **more})


def iteration(loop: str, definition: str, number: int, item: object, *upstream: str, **more: Any) -> Job:
    values = {"definition": definition, "loop": loop, "item": {"mode": item}}
    return job(f"{definition}.{number}", "SUCCESS", *upstream, **{**values, **more})


def ran(*states: tuple[str, float], ended: float | None = None, **more: Any) -> Job:
    seen = [{"state": state, "at": iso_time(at(second))} for state, second in states]
    return job("process", states[-1][0], states=seen, ended_at=iso_time(at(ended)) if ended else None, **more)


def tree(*jobs: Job) -> list[str]:
    return [f"{row.guides}{row.name}  {row.note}".rstrip() for row in rows(jobs, glyphs(SCREEN))]


def shown(renderable: RenderableType) -> list[str]:
    with SCREEN.capture() as capture:
        SCREEN.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_job_stands_once_and_names_all_of_its_upstream_when_several_lead_to_it() -> None:
    jobs = [job("split"), job("a", "X", "split"), job("b", "X", "split"), job("merge", "X", "a", "b"), job("alone")]

    assert tree(*jobs) == ["split", "├ a", "└ b", "  └ merge  after a, b", "alone"]


def test_condition_is_named_when_a_job_does_not_need_success() -> None:
    assert tree(job("a"), job("alarm", "X", "a", run_if="ANY_FAILED")) == ["a", "└ alarm  runs if ANY_FAILED"]


def test_iterations_stand_together_when_a_job_is_repeated() -> None:
    counts = [iteration("count", "count", number, word, "split") for number, word in ((1, "a"), (2, "b"))]
    merge = job("merge", "SUCCESS", "count.1", "count.2")

    assert tree(job("split"), *counts, merge) == [
        "split",
        "└ count  for each mode: 2 SUCCESS",
        "  ├ count.1  mode = a",
        "  ├ count.2  mode = b",
        "  └ merge",
    ]


def test_iterations_are_trees_of_their_own_when_a_group_is_repeated_in_sequence() -> None:
    jobs = [
        iteration("modes", "clean", 1, "TRAINING"),
        iteration("modes", "model", 1, "TRAINING", "clean.1"),
        iteration("modes", "clean", 2, ["a", 1], "model.1"),
        iteration("modes", "model", 2, ["a", 1], "clean.2"),
    ]

    assert tree(*jobs) == [
        "modes  for each mode: 4 SUCCESS",
        "├ modes.1  mode = TRAINING",
        "│ └ clean.1",
        "│   └ model.1",
        '└ modes.2  mode = ["a", 1]',
        "  └ clean.2",
        "    └ model.2",
    ]


def test_only_what_matters_is_listed_when_a_loop_has_many_iterations() -> None:
    jobs = [iteration("count", "count", number, number) for number in range(1, 101)]
    jobs[41] = replace(jobs[41], state="FAILED")

    assert tree(*jobs) == [
        "count  for each mode: 99 SUCCESS, 1 FAILED",
        "├ count.42  mode = 42",
        "└ ...  and 99 SUCCESS",
    ]


def test_tree_stays_narrow_when_a_thousand_jobs_are_one_chain() -> None:
    jobs = [job("job0"), *(job(f"job{number}", "X", f"job{number - 1}") for number in range(1, 1000))]

    lines = tree(*jobs)

    assert len(lines) == 1000
    assert max(map(len, lines)) < 40


@st.composite
def graphs(draw: st.DrawFn) -> list[Job]:
    """Any graph of jobs in topological order."""
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 15))):
        upstream = draw(st.lists(st.sampled_from(jobs), unique_by=id, max_size=4)) if jobs else []
        jobs.append(job(f"job{number}", "X", *(other.name for other in upstream)))
    return jobs


@given(graphs())
def test_every_job_is_in_the_tree_once_and_below_the_last_of_its_upstream_for_any_graph(jobs: list[Job]) -> None:
    names = [row.name for row in rows(jobs, glyphs(SCREEN))]

    assert sorted(names) == sorted(one.name for one in jobs)
    lasts = {
        one.name: max(one.upstream, key=lambda name: int(name.removeprefix("job"))) for one in jobs if one.upstream
    }
    assert all(names.index(above) < names.index(name) for name, above in lasts.items())


def test_phases_follow_each_other_when_a_job_was_retried() -> None:
    states = [("SUBMITTED", 5), ("SCHEDULED", 6), ("RUNNING", 8), ("PENDING", 20), ("RUNNING", 24), ("FAILED", 30)]

    phases = spans(ran(*states, ended=30), at(0), at(99))

    assert [(span.phase.name, span.seconds) for span in phases] == [
        ("WAITING", 5),
        ("QUEUED", 1),
        ("STARTING", 2),
        ("RUNNING", 12),
        ("QUEUED", 4),
        ("RUNNING", 6),
    ]
    assert seconds_by_phase(phases)[Phase.RUNNING] == 18


def test_phase_lasts_until_now_when_the_job_still_runs() -> None:
    phases = spans(ran(("RUNNING", 5)), at(0), at(25))

    assert seconds_by_phase(phases) == {Phase.WAITING: 5, Phase.RUNNING: 20}


def test_timeline_ends_with_the_run_when_it_has_ended() -> None:
    assert frame(RUN) == (at(0), at(100))
    assert frame(replace(RUN, ended_at=None))[1] > at(100)


def test_there_are_no_phases_when_another_run_did_the_job() -> None:
    assert spans(ran(("SUCCESS", 5), ended=5, reused_from="graph-0"), at(0), at(25)) == []


def test_bar_is_to_scale_and_short_phases_are_there() -> None:
    phases = spans(ran(("SUBMITTED", 50), ("RUNNING", 50.1), ended=100), at(0), at(100))

    drawn = bar(phases, at(0), at(100), 20, ".:-#", failed=False).plain

    assert drawn == "..........##########"
    assert bar(phases, at(0), at(1000), 10, ".:-#", failed=False).plain == "##        "


def test_reason_stands_in_place_of_the_bar_when_a_job_did_not_run() -> None:
    lines = shown(
        job_tree(
            SCREEN,
            100,
            RUN,
            [
                job("done", "SUCCESS", reused_from="graph-0"),
                job("skipped", "SKIPPED", "done", state_details="Not every upstream job succeeded."),
                job("waiting", "NOT_SUBMITTED", "done", waiting_for=["other"]),
            ],
        )
    )

    assert lines[0].split() == ["✓", "done", "SUCCESS", "done", "by", "graph-0"]
    assert lines[1].endswith("Not every upstream job succeeded.")
    assert lines[2].endswith("waits for other")
    assert lines[-1] == "3 jobs: 1 SUCCESS, 1 SKIPPED, 1 NOT_SUBMITTED"


def test_no_line_is_broken_when_the_screen_is_narrow() -> None:
    jobs = [job("a-job-with-a-name-that-is-rather-long-for-this", "SUCCESS"), ran(("RUNNING", 3))]

    assert len(shown(job_tree(SCREEN, 60, RUN, jobs))) == len(jobs) + 2


def test_only_active_and_failed_jobs_are_shown_live_when_there_are_hundreds() -> None:
    jobs = [job(f"job{number}", "SUCCESS") for number in range(300)]
    jobs[7] = job("job7", "FAILED")
    jobs[250:280] = [job(f"job{number}", "RUNNING") for number in range(250, 280)]

    lines = shown(live_jobs(SCREEN, 100, RUN, jobs, usual=Usual(), progress={}))

    assert len(lines) <= SCREEN.height
    assert any("job7" in line for line in lines)
    assert lines[-2:] == ["... and 11 more", "300 jobs: 269 SUCCESS, 30 RUNNING, 1 FAILED"]


def test_ascii_is_printed_when_the_terminal_has_nothing_else() -> None:
    raw = TextIOWrapper(BytesIO(), encoding="ascii")
    console = Console(file=raw, width=80, color_system=None, _environ={})
    jobs = [job("first", "SUCCESS"), job("a-long-name" * 5, "FAILED", "first"), ran(("RUNNING", 3))]

    console.print(job_tree(console, 80, RUN, jobs))
    raw.seek(0)

    assert "`-x a-long-name" in raw.read()
