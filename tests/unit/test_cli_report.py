import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import boto3
import html5lib
import pytest
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import FAILED, SUCCEEDED, Job, Run
from hypothesis import given
from hypothesis import strategies as st

from emrp.errors import EXIT_USAGE
from emrp.find_runs import FoundRun
from emrp.report.log_tails import LogTail
from emrp.report.page import Report, render
from emrp.report.time_axis import rows, ticks
from emrp.stack import Stack
from emrp.usual import NOTHING_USUAL, Usual
from tests.unit.conftest import Command
from tests.unit.test_cli_runs import at, job, recorded, save

HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    """</title></style></pre></svg><script>alert(1)</script><img src=x onerror="alert(2)">&amp;'"{{ 7*7 }}\u202e"""
)
PRICES = {
    "region": "eu-west-1",
    "architecture": "ARM64",
    "dated": "2026-11-01",
    "vcpu_hour": 0.1,
    "memory_gb_hour": 0.01,
    "storage_gb_hour": 0.001,
}
ARN = "arn:aws:states:eu-west-1:123456789012:execution:emr-pipelines-pipeline:salaries-1"
RUN = Run(
    run_id="salaries-1",
    pipeline="salaries",
    execution_arn=ARN,
    started_at=at(0),
    ended_at=at(100),
    state=FAILED,
    error="JobFailedError",
    cause="Job count.2: No such file",
    trigger={"type": "upload", "key": "landing/x.csv"},
    parameters={"top": 10},
    prices=PRICES,
    pipeline_version="v7",
    output="s3://bucket/output/salaries-1",
)
USED = {"vCPUHour": 2.0, "memoryGBHour": 8.0, "storageGBHour": 0.0}
JOBS = [
    job("split", ("SUBMITTED", 1), ("SCHEDULED", 2), ("RUNNING", 5), ("SUCCESS", 20), resources=USED, job_run_id="r1"),
    job(
        "count.2",
        ("SUBMITTED", 20),
        ("RUNNING", 22),
        ("PENDING", 40),
        ("RUNNING", 45),
        ("FAILED", 90),
        upstream=["split"],
        item={"part": 2},
        state_details="No such file",
        job_run_id="r2",
        resources=USED,
    ),
    job("merge", upstream=["count.2"], state="SKIPPED", state_details="Not every upstream job succeeded."),
]


def report(
    run: Run = RUN, jobs: list[Job] = JOBS, usual: Usual = NOTHING_USUAL, logs: list[LogTail] | None = None
) -> Element:
    """The page, read as strictly as HTML can be read."""
    page = render(Report(FoundRun(run, recorded=True), jobs, usual, logs or []))
    document: Element = html5lib.HTMLParser(strict=True).parse(page)
    return document


def text(element: Element | None) -> str:
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def section(document: Element, name: str) -> Element:
    """The section below a heading."""
    (found,) = [one for one in document.iter(f"{HTML}section") if one.get("aria-labelledby") == name]
    return found


def table(element: Element) -> list[list[str]]:
    return [[text(cell) for cell in row] for row in element.iter(f"{HTML}tr")]


def test_head_says_what_happened_and_what_to_do_when_a_run_has_failed() -> None:
    document = report(usual=Usual(95.0, {}))

    header = text(document.find(f".//{HTML}header"))
    for part in (
        "salaries-1",
        "failed after 1 min 40 s, usually 1 min 35 s",
        "Job count.2: No such file",
        "emrp logs salaries-1 count.2",
        "emrp repair salaries-1",
        "upload landing/x.csv",
    ):
        assert part in header
    assert text(document.find(f".//{HTML}title")) == "salaries failed: salaries-1"


def test_head_does_not_advise_a_repair_when_the_run_ended_before_it_was_planned() -> None:
    assert "emrp repair" not in text(report(jobs=[]).find(f".//{HTML}header"))


@pytest.mark.parametrize(
    ("run", "said", "not_said"),
    [
        (replace(RUN, state=SUCCEEDED, cause=None, error=None), "succeeded after", "emrp repair"),
        (replace(RUN, repaired_by="salaries-2"), "Repaired by salaries-2", "emrp repair"),
        (replace(RUN, state="RUNNING", ended_at=None, cause=None, error=None), "emrp watch salaries-1", "emrp repair"),
    ],
)
def test_head_does_not_advise_a_repair_when_there_is_nothing_to_repair(run: Run, said: str, not_said: str) -> None:
    header = text(report(run).find(f".//{HTML}header"))

    assert said in header
    assert not_said not in header


def test_graph_has_every_job_with_its_state_and_leads_to_its_bar() -> None:
    document = report()

    nodes = [link for link in document.iter(f"{SVG}a") if "node" in (link.get("class") or "")]
    assert [text(node.find(f"{SVG}title")) for node in nodes] == [
        "split: success",
        "count.2: failed. No such file",
        "merge: skipped",
    ]
    ids = {element.get("id") for element in document.iter()}
    assert {link.get("href") for link in nodes} <= {f"#{name}" for name in ids}


def test_attempts_stand_below_each_other_when_a_job_was_tried_again() -> None:
    _, count, merge = rows(RUN, JOBS)

    assert [(bar.phase, bar.attempt, bar.failed) for bar in count.bars] == [
        ("waiting", 1, False),
        ("queued", 1, False),
        ("running", 1, True),
        ("queued", 2, False),
        ("running", 2, True),
    ]
    assert (count.attempts, count.seconds) == (2, 70)
    assert [(bar.start, bar.width) for bar in count.bars[1:3]] == [(20, 2), (22, 18)]
    assert merge.bars == ()


@given(st.floats(0, 10_000_000))
def test_ticks_are_few_and_inside_whatever_time_a_run_took(seconds: float) -> None:
    found = ticks(seconds)

    assert 1 <= len(found) <= 8
    assert found[0].label == "0"
    assert all(0 <= tick.at <= 100 for tick in found)
    assert len({tick.label for tick in found}) == len(found)


def test_costs_are_those_of_the_recorded_prices() -> None:
    cost = section(report(), "cost")

    header, split, count, merge, total = table(cost)
    assert header[-1] == "Cost"
    assert split == ["split", "✓ success", "-", "2.000", "8.000", "0.000", "$0.2800"]
    assert (count[-1], merge[-1], total[-1]) == ("$0.2800", "$0.00", "$0.5600")
    assert "eu-west-1, ARM64, 2026-11-01" in text(cost)


def test_cost_is_not_made_up_when_prices_are_unknown() -> None:
    cost = section(report(replace(RUN, prices={})), "cost")

    assert [row[-1] for row in table(cost)][1:3] == ["-", "-"]
    assert "prices of this region and architecture are not known" in text(cost)


def test_logs_of_the_failed_job_are_open_and_first_when_there_are_others() -> None:
    logs = [
        LogTail("split", "split stdout", "fine"),
        LogTail("count.2", "count.2 stdout, attempt 1", "first", 1, is_of_last_attempt=False),
        LogTail("count.2", "count.2 stdout, attempt 2", "second", 2),
    ]
    document = report(logs=logs)

    wrong = [(text(log), log.get("open") is not None) for log in section(document, "wrong").iter(f"{HTML}details")]
    assert wrong == [("count.2 stdout, attempt 2 second", True), ("count.2 stdout, attempt 1 first", False)]
    assert [text(log) for log in section(document, "logs").iter(f"{HTML}details")] == ["split stdout fine"]


def test_user_text_stays_text_when_it_is_hostile() -> None:
    run = replace(
        RUN,
        run_id=HOSTILE,
        pipeline=HOSTILE,
        cause=HOSTILE,
        parameters={HOSTILE: HOSTILE, "nested": {"a": [HOSTILE]}},
        trigger={"type": HOSTILE, "key": HOSTILE, HOSTILE: {"x": HOSTILE}},
        pipeline_version=HOSTILE,
        output=HOSTILE,
        execution_arn=f"{ARN}{HOSTILE}",
        application={"releaseLabel": HOSTILE},
    )
    jobs = [
        replace(one, name=f"{HOSTILE}{number}", state_details=HOSTILE, item={HOSTILE: HOSTILE}, output_uri=HOSTILE,
                upstream=[], log_uri=HOSTILE)
        for number, one in enumerate(JOBS)
    ]  # fmt: skip
    logs = [LogTail(jobs[1].name, HOSTILE, HOSTILE), LogTail(jobs[0].name, HOSTILE, HOSTILE)]

    document = report(run, jobs, logs=logs)

    assert not {"script", "img", "iframe", "object"} & {str(one.tag).rpartition("}")[2] for one in document.iter()}
    attributes = [(name, value) for one in document.iter() for name, value in one.attrib.items()]
    assert not [name for name, _ in attributes if name.lower().startswith("on")]
    assert {value for name, value in attributes if name.endswith(("href", "src"))} <= {
        "data:,",
        "#wrong",
        *(f"#job-{number}" for number in range(1, 4)),
    }
    assert text(document.find(f".//{HTML}h1")) == HOSTILE
    assert HOSTILE in text(section(document, "parameters"))
    assert sum(pre.text == HOSTILE for pre in document.iter(f"{HTML}pre")) == 2


def test_page_fetches_nothing_and_runs_nothing_whoever_opens_it() -> None:
    document = report()

    (policy,) = [meta.get("content") for meta in document.iter(f"{HTML}meta") if meta.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not list(document.iter(f"{HTML}script"))
    assert not [link for link in document.iter(f"{HTML}link") if not (link.get("href") or "").startswith("data:")]
    style = text(document.find(f".//{HTML}style"))
    assert "url(" not in style
    assert "@import" not in style


def test_pictures_have_names_for_those_who_cannot_see_them() -> None:
    for svg in report().iter(f"{SVG}svg"):
        assert svg.get("aria-hidden") == "true" or svg.get("aria-label") or svg.get("width") == "26"


@pytest.mark.parametrize("jobs", [[], [replace(JOBS[0], state="RUNNING", ended_at=None, states=JOBS[0].states[:3])]])
def test_page_is_whole_when_a_run_has_no_jobs_or_has_not_ended(jobs: list[Job]) -> None:
    run = replace(RUN, state="RUNNING", ended_at=None, output=None, parameters={})

    document = report(run, jobs)

    assert "The pipeline has none." in text(section(document, "parameters"))
    assert "No job has printed anything" in text(section(document, "logs"))


@pytest.fixture
def failed_run(record: RunRecord, s3: Any) -> Run:
    """A recorded run with a job that failed, and the log of its driver."""
    run = replace(recorded(record, "salaries-1"), parameters={"top": 10})
    crash = job("process", ("RUNNING", 3), ("FAILED", 8), log_uri="s3://bucket/logs", state_details="No such file")
    save(record, run, crash)
    record.link_job_run(crash, "app1", "run1")
    lines = [f"line {number}" for number in range(500)]
    printed = "\n".join([*lines, "\x1b[31mValueError\x1b[0m:\x00 <no> such file\n"])
    key = "logs/applications/app1/jobs/run1/SPARK_DRIVER/stdout.gz"
    boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=gzip.compress(printed.encode()))
    return record.end_run("salaries-1", FAILED, "JobFailedError", "Job process: No such file")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_page_is_written_with_the_end_of_the_log_when_a_report_is_asked_for(
    emrp: Command, deployed: Stack, failed_run: Run, folder: Path
) -> None:
    code, printed, _ = emrp("report", "salaries-1")

    assert code == 0
    assert printed.startswith("Wrote salaries-1.html (")
    document = html5lib.HTMLParser(strict=True).parse((folder / "salaries-1.html").read_text(encoding="utf-8"))
    (log,) = section(document, "wrong").iter(f"{HTML}pre")
    assert log.text is not None
    assert log.text.splitlines()[0] == "line 461"
    assert log.text.splitlines()[-1] == "ValueError:\N{REPLACEMENT CHARACTER} <no> such file"


def test_only_a_report_is_replaced_unless_it_is_forced(
    emrp: Command, deployed: Stack, failed_run: Run, folder: Path
) -> None:
    mine = folder / "mine.html"
    mine.write_text("<p>mine</p>")

    code, _, complaint = emrp("report", "salaries-1", "--out", "mine.html")
    assert (code, mine.read_text()) == (EXIT_USAGE, "<p>mine</p>")
    assert "--force" in complaint
    assert emrp("report", "salaries-1", "--out", "mine.html", "--force", "--no-logs")[0] == 0
    code, printed, _ = emrp("report", "salaries-1", "--out", "mine.html", "--json")

    assert (code, json.loads(printed)) == (0, {"runId": "salaries-1", "file": "mine.html"})


def test_page_goes_to_the_standard_output_when_it_is_to(
    emrp: Command, deployed: Stack, failed_run: Run, folder: Path
) -> None:
    code, printed, _ = emrp("report", "salaries-1", "--out", "-", "--no-logs")

    assert code == 0
    assert "Left out with --no-logs" in text(html5lib.HTMLParser(strict=True).parse(printed))
    assert list(folder.iterdir()) == []
    assert emrp("report", "salaries-1", "--out", "-", "--json")[0] == EXIT_USAGE


def test_usage_is_wrong_when_there_is_no_run_to_report_about(emrp: Command, deployed: Stack, folder: Path) -> None:
    code, _, complaint = emrp("report", "salaries-9")

    assert code == EXIT_USAGE
    assert complaint.startswith('There is no run "salaries-9"')
    assert list(folder.iterdir()) == []
