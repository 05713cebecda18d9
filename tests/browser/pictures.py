"""The pictures in docs/images, made from real runs on a local AWS of their own: `make pictures`."""

import re
import time
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
from emr_pipelines.job_state import JobState
from rich.console import Console

from emrp import environment
from emrp.deployment import Deployment
from emrp.follow import Picture, RunFollower
from emrp.local import lifecycle
from emrp.pipelines import deploy_project
from emrp.progress import Stages
from emrp.project import Project
from emrp.report.command import read_report
from emrp.report.page import render
from emrp.sample_data import write_text
from emrp.sample_run import Upload, find_run
from emrp.stack import Stack
from emrp.watch import RunScreen
from tests.browser.chromium import chromium

IMAGES = Path(__file__).parents[2] / "docs" / "images"
KEY = "landing/texts/emma.txt"
STACK = "emr-pipelines"
RUN_STARTS_SECONDS = 60.0
TERMINAL_WIDTH = 118
WEB_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # a picture in a README may not fetch any


def main() -> None:
    """Run the example twice, so that there is a usual time, and take the pictures of the second run."""
    stages = Stages(Console())
    with TemporaryDirectory(prefix="emrp-") as folder, lifecycle.start(port=0) as local_aws:
        environment.use(local_aws.environment())
        project = Project.find()
        Deployment(project, STACK, local=True).run(stages)
        stack = Stack.describe(STACK)
        deploy_project(stages, stack, project)
        for number in (1, 2):
            with stages.stage(f"Run {number}"):
                picture, terminal = follow(stack, Path(folder))
            assert picture.succeeded, picture.cause
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / "watch.svg").write_text(terminal, encoding="utf-8")
        page = Path(folder) / "report.html"
        page.write_text(render(read_report(stack, picture.run_id, logs=True)), encoding="utf-8")
        with chromium(Path(folder) / "profile") as browser:
            browser.open(page, width=1180)
            bottom = browser.evaluate("document.querySelector('#trigger').getBoundingClientRect().top - 30")
            (IMAGES / "report.png").write_bytes(browser.screenshot(width=1180, height=int(bottom)))


def follow(stack: Stack, folder: Path) -> tuple[Picture, str]:
    """Start a run and follow it; return its end, and the terminal when most was going on."""
    text = folder / "emma.txt"
    write_text(text, lines=4000)
    answer = boto3.client("s3").put_object(Bucket=stack.bucket, Key=KEY, Body=text.read_bytes())
    upload = Upload(stack.bucket, KEY, answer["VersionId"])
    best, drawn = 0.0, ""
    follower = RunFollower(stack, find_run(stack, upload, RUN_STARTS_SECONDS))
    for picture in follower.follow(every_seconds=0.3):
        running = sum(job.state == JobState.RUNNING for job in picture.jobs)
        to_see = running + sum(1 + progress.share for progress in picture.progress.values())
        if to_see > best:
            best, drawn = to_see, draw(picture)
    return picture, drawn


def draw(picture: Picture) -> str:
    """Return what a terminal shows of a run, as SVG."""
    console = Console(file=StringIO(), record=True, force_terminal=True, width=TERMINAL_WIDTH, height=40)
    screen = RunScreen(console, "Ctrl-C leaves the run running.")
    screen.picture = picture
    console.print(screen)
    return WEB_FONTS.sub("", console.export_svg(title=f"emrp watch {picture.run_id}", unique_id="watch"))


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"docs/images is new, after {time.monotonic() - began:.0f} s")
