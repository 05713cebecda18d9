"""Bootstrap actions of the local EMR on EC2: how a script really runs."""

import asyncio
import os
from pathlib import Path

import pytest

from emrp.local.emr_on_ec2.bootstrap import run_script, simulated_scripts
from emrp.local.emr_on_ec2.execution import ScriptRequest


def request(work_dir: Path, script: str, *arguments: str) -> ScriptRequest:
    return ScriptRequest(script.encode(), list(arguments), work_dir, {"AWS_REGION": "eu-west-1"})


async def test_script_has_its_arguments_and_a_home_of_its_own_when_it_runs(tmp_path: Path) -> None:
    work_dir = tmp_path / "action"
    exit_code = await run_script(request(work_dir, 'echo "$1 $2 $HOME $PWD $AWS_REGION"; exit 3', "a b", "c"))
    assert exit_code == 3
    assert (work_dir / "stdout").read_text() == f"a b c {work_dir} {work_dir} eu-west-1\n"


@pytest.mark.parametrize(
    "command", ["yum -y install jq", "sudo yum -y install jq", "sudo -u hadoop -E yum -y install jq", "pip3 install x"]
)
async def test_machine_is_not_changed_when_a_script_would_do_so(tmp_path: Path, command: str) -> None:
    exit_code = await run_script(request(tmp_path / "action", command))
    assert exit_code == 0
    assert "is left out on this machine" in (tmp_path / "action" / "stderr").read_text()


async def test_sudo_runs_what_follows_it_when_that_changes_nothing(tmp_path: Path) -> None:
    await run_script(request(tmp_path / "action", "sudo NAME=value sh -c 'echo $NAME'"))
    assert (tmp_path / "action" / "stdout").read_text() == "value\n"


async def test_no_process_is_left_when_a_script_is_cancelled(tmp_path: Path) -> None:
    ready = tmp_path / "action" / "ready"
    script = request(tmp_path / "action", "echo $$ > pid; mv pid ready; exec sleep 600")
    running = asyncio.create_task(run_script(script))
    async with asyncio.timeout(20):
        while not ready.exists():  # noqa: ASYNC110 -- another process makes it
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    with pytest.raises(ProcessLookupError):
        os.kill(int(ready.read_text()), 0)


@pytest.mark.parametrize(("arguments", "exit_code"), [((), 0), (("x", "exit=2"), 2)])
async def test_simulated_script_ends_as_its_arguments_say_when_jobs_are_simulated(
    tmp_path: Path, arguments: tuple[str, ...], exit_code: int
) -> None:
    assert await simulated_scripts()(request(tmp_path / "action", "exit 7", *arguments)) == exit_code
    assert not (tmp_path / "action").exists()
