"""The local AWS as a program: starting, guarding, finding and stopping it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from emrp.local import lifecycle
from emrp.local.cli import local_app
from emrp.local.lifecycle import LocalAwsError
from tests.local.conftest import LocalAwsUnderTest


def _answer(local_aws: LocalAwsUnderTest, path: str, **headers: str) -> tuple[int, str, str]:
    connection = HTTPConnection("127.0.0.1", local_aws.server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["content-type"], response.read().decode()


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_request_is_refused_with_a_reason_when_it_comes_from_elsewhere(
    local_aws: LocalAwsUnderTest, headers: dict[str, str]
) -> None:
    status, _, text = _answer(local_aws, "/", **headers)
    assert status == 403
    assert "is not this machine" in text


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux lists its sockets there")
def test_server_listens_on_loopback_only_when_it_runs(local_aws: LocalAwsUnderTest) -> None:
    listening = Path("/proc/net/tcp").read_text(encoding="ascii")
    port = f"{local_aws.server.port:04X}"
    assert f" 0100007F:{port} " in listening
    assert f" 00000000:{port} " not in listening


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the memory there")
def test_server_needs_less_than_200_mb_when_it_idles(tmp_path: Path) -> None:
    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    assert int(resident) < 200 * 1024


def test_inbox_is_a_page_when_a_browser_asks_for_it(local_aws: LocalAwsUnderTest) -> None:
    assert _answer(local_aws, "/_emrp/inbox", Accept="text/html,*/*")[1].startswith("text/html")
    assert isinstance(json.loads(_answer(local_aws, "/_emrp/inbox")[2]), list)


def test_address_of_ours_is_not_found_when_nothing_is_there(local_aws: LocalAwsUnderTest) -> None:
    assert _answer(local_aws, "/_emrp/nothing")[0] == 404


def test_instances_do_not_share_anything_when_two_run_side_by_side(
    local_aws: LocalAwsUnderTest, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    name = unique("only-here")
    with lifecycle.start(port=0, data_dir=tmp_path) as other:
        LocalAwsUnderTest(other).client("s3").create_bucket(Bucket=name)
        buckets = local_aws.client("s3").list_buckets()["Buckets"]
    assert name not in [bucket["Name"] for bucket in buckets]


def test_state_is_still_there_when_a_server_with_a_data_folder_is_started_again(tmp_path: Path) -> None:
    with lifecycle.start(port=0, data_dir=tmp_path) as first:
        clients = LocalAwsUnderTest(first)
        clients.client("s3").create_bucket(Bucket="kept")
        clients.client("s3").put_object(Bucket="kept", Key="key", Body=b"body")
        topic = clients.client("sns").create_topic(Name="kept")["TopicArn"]
        clients.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="you@example.com")
    with lifecycle.start(port=0, data_dir=tmp_path) as second:
        clients = LocalAwsUnderTest(second)
        assert clients.client("s3").get_object(Bucket="kept", Key="key")["Body"].read() == b"body"
        assert clients.inbox()[0]["to"] == "you@example.com"
        subscriptions = clients.client("sns").list_subscriptions()["Subscriptions"]
    assert [subscription["SubscriptionArn"] for subscription in subscriptions] == ["PendingConfirmation"]


def test_nothing_is_left_when_a_server_without_a_data_folder_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with lifecycle.start(port=0) as server:
        assert server.data_dir == tmp_path / ".local" / str(server.port)
        assert server.log.exists()
    assert not server.data_dir.exists()
    assert lifecycle.find(server.port) is None


def test_start_names_the_port_and_its_owner_when_it_is_taken(local_aws: LocalAwsUnderTest) -> None:
    taken = local_aws.server
    with pytest.raises(LocalAwsError, match=rf"Port {taken.port} .*\(process {taken.pid}; .*--port"):
        lifecycle.start(port=taken.port)


def test_start_says_so_when_the_data_folder_is_in_use(local_aws: LocalAwsUnderTest) -> None:
    with pytest.raises(LocalAwsError, match="already used by another local AWS"):
        lifecycle.start(port=0, data_dir=local_aws.server.data_dir)


def test_server_ends_when_the_program_that_started_it_is_killed(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    script = f"""
        import pathlib
        from emrp.local import lifecycle

        server = lifecycle.start(port=0, data_dir=pathlib.Path({str(tmp_path / "data")!r}))
        print(server.port, flush=True)
        input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout
        port = int(starter.stdout.readline())
        assert lifecycle.find(port)
        starter.kill()
    eventually(lambda: lifecycle.find(port) is None)


def test_server_is_ended_when_it_does_not_stop_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "STOP_SECONDS", 0.2)
    server = lifecycle.start(port=0, data_dir=tmp_path)
    os.kill(server.pid, signal.SIGSTOP)
    server.stop()
    assert lifecycle.find(server.port) is None


def test_clients_use_this_instance_only_when_they_get_its_environment(
    local_aws: LocalAwsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    environment = local_aws.server.environment()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    identity = boto3.client("sts").get_caller_identity()
    assert identity["Account"] == "000000000000"


def test_commands_start_show_and_stop_a_server_when_used_one_after_the_other(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, Any]:
        command = [sys.executable, "-c", "from emrp.local.cli import local_app; local_app()", *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, json.loads(done.stdout)

    _, up = run("up", "--port", "0", "--data", str(tmp_path))
    port = str(up["port"])
    try:
        assert run("status", "--port", port) == (0, up)
        assert run("inbox", "--port", port) == (0, [])
    finally:
        assert run("down", "--port", port) == (0, {"port": up["port"], "stopped": True})
    assert run("status", "--port", port) == (1, {"running": False, "port": up["port"]})
    assert run("down", "--port", port) == (0, {"port": up["port"], "stopped": False})


def test_commands_say_what_to_do_when_a_person_reads_them(local_aws: LocalAwsUnderTest) -> None:
    status = CliRunner().invoke(local_app, ["status", "--port", str(local_aws.server.port)])
    assert f"AWS_ENDPOINT_URL={local_aws.endpoint_url}" in status.output
    refused = CliRunner().invoke(local_app, ["up", "--port", str(local_aws.server.port)])
    assert isinstance(refused.exception, LocalAwsError)
    assert str(refused.exception).startswith(f"Port {local_aws.server.port} is already used by a local AWS")
