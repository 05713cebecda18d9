"""The run report in a real browser: what it shows, at which widths, and that it wants nothing from anybody."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emr_pipelines.run import Job

from emrp.find_runs import FoundRun
from emrp.report.log_tails import LogTail
from emrp.report.page import Report, render
from emrp.usual import Usual
from tests.browser.chromium import Page, chromium, find_chromium
from tests.unit.test_cli_report import HOSTILE, JOBS, RUN
from tests.unit.test_cli_runs import job

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        find_chromium() is None, reason="no chromium on PATH: get it with apt-get install chromium, then make browser"
    ),
]

A4_POINTS = (596, 842)  # chromium rounds up
# Every bar and box is in the page, has a size, and lies in what it is scrolled in.
VISIBLE = """[...document.querySelectorAll('.node, .timeline .row .job')].map(element => {
  const box = element.getBoundingClientRect();
  return [element.textContent, box.width > 0 && box.height > 0 && box.left >= 0];
})"""
WIDER_THAN_THE_WINDOW = """[...document.querySelectorAll('body *')].filter(element =>
  !element.closest('.scroll') && element.getBoundingClientRect().right > innerWidth + 1
).map(element => element.outerHTML)"""
# WCAG's contrast of each text with what is behind it.
CONTRASTS = """(() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const linear = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = parse(colour).slice(0, 3).map(linear);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((parse(colour)[3] ?? 1) > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [...document.querySelectorAll('body *:not(svg *):not(svg)')].filter(element =>
    [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
  return texts.map(element => {
    const pair = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    return [(pair[0] + .05) / (pair[1] + .05), element.textContent.slice(0, 60)];
  }).filter(([contrast]) => contrast < 4.5);
})()"""


def many_jobs() -> list[Job]:
    """A hundred jobs, some of which have long names or went wrong."""
    names = [f"transform.{number}" if number % 10 else f"a-rather-long-name-of-a-job.{number}" for number in range(97)]
    counts = [
        job(name, ("SUBMITTED", 20), ("RUNNING", 21), ("FAILED" if number == 13 else "SUCCESS", 30 + number / 2),
            upstream=["split"], job_run_id="r", state_details="No such file" if number == 13 else None)
        for number, name in enumerate(names)
    ]  # fmt: skip
    skipped = [job("merge", upstream=names, state="SKIPPED"), job("mart", upstream=["merge"], state="SKIPPED")]
    return [JOBS[0], *counts, *skipped]


def hostile_jobs() -> list[Job]:
    """Jobs whose texts are long, and an attack."""
    return [
        replace(one, name=f"{HOSTILE}{number}", item={"x": "y" * 300}, state_details=f"{'long' * 200} {HOSTILE}",
                upstream=[])
        for number, one in enumerate(JOBS)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(params=["three", "hundred", "hostile"])
def jobs(request: pytest.FixtureRequest) -> list[Job]:
    return {"three": JOBS, "hundred": many_jobs(), "hostile": hostile_jobs()}[request.param]


@pytest.fixture
def file(jobs: list[Job], tmp_path: Path) -> Path:
    """A report with logs, a long parameter and a usual time."""
    run = replace(RUN, parameters={"uri": f"s3://bucket/{'folder/' * 60}x.csv", "html": HOSTILE})
    logs = [LogTail(one.name, f"{one.name} stdout", "\n".join(["x" * 400, HOSTILE] * 30)) for one in jobs[:3]]
    written = tmp_path / "report.html"
    report = Report(FoundRun(run, recorded=True), jobs, Usual(95.0, {"split": 20.0}), logs)
    written.write_text(render(report), encoding="utf-8")
    return written


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False), (400, True)])
def test_every_job_is_visible_and_nothing_is_fetched_or_complained_about(
    page: Page, file: Path, jobs: list[Job], width: int, dark: bool
) -> None:
    page.open(file, width=width, dark=dark)

    shown: list[Any] = page.evaluate(VISIBLE)
    assert len(shown) == 2 * len(jobs)
    assert all(visible for _, visible in shown), shown
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(WIDER_THAN_THE_WINDOW) == []
    assert page.evaluate(CONTRASTS) == []
    assert [asked["request"]["url"] for asked in page.seen("Network.requestWillBeSent")] == [file.as_uri()]
    for complaint in (
        "Log.entryAdded",
        "Runtime.consoleAPICalled",
        "Runtime.exceptionThrown",
        "Page.javascriptDialogOpening",
    ):
        assert page.seen(complaint) == []


def test_log_is_scrolled_to_its_end_when_the_page_is_opened(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    log = LogTail("count.2", "count.2 stdout", "\n".join(f"line {number}" for number in range(200)))
    file.write_text(render(Report(FoundRun(RUN, recorded=True), JOBS, Usual(), [log])), encoding="utf-8")
    page.open(file, width=1280)

    below = page.evaluate(
        "(tail => tail.firstElementChild.getBoundingClientRect().bottom - tail.getBoundingClientRect().bottom)"
        "(document.querySelector('.tail'))"
    )

    assert below <= 0


def test_pages_are_a4_and_nothing_is_cut_off_when_it_is_printed(page: Page, file: Path) -> None:
    page.open(file, width=1280)

    printed = page.pdf()

    sizes = {
        (round(float(w)), round(float(h))) for w, h in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    }
    assert sizes == {A4_POINTS}
    page.call("Emulation.setEmulatedMedia", media="print")
    # The width of a sheet without its margins: chromium would shrink a page that does not fit.
    page.call("Emulation.setDeviceMetricsOverride", width=703, height=1000, deviceScaleFactor=1, mobile=False)
    try:
        assert page.evaluate("document.documentElement.scrollWidth") == 703
        assert page.evaluate(WIDER_THAN_THE_WINDOW) == []
        assert page.evaluate("document.querySelector('.graph').getBoundingClientRect().right <= innerWidth")
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
