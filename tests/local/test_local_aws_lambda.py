"""Lambda functions on the local AWS: results, errors, logs, workers."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emrp.local import lifecycle
from emrp.local.patches.lambda_svc import KEPT_LOG_STREAMS
from tests.local.conftest import LocalAwsUnderTest

ECHO = """
    import os

    def handler(event, context):
        if "raise" in event:
            raise KeyError(event["raise"])
        return {"event": event, "pid": os.getpid()}
"""


def _invoke(local_aws: LocalAwsUnderTest, function: str, **event: Any) -> tuple[str | None, Any]:
    response = local_aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    return response.get("FunctionError"), json.loads(response["Payload"].read())


def test_result_is_what_the_handler_returns_when_it_prints_to_every_standard_output(
    local_aws: LocalAwsUnderTest,
) -> None:
    function = local_aws.create_function("""
        import os, subprocess, sys

        FAKE = '{"status": "ok", "result": "hijacked"}'

        def handler(event, context):
            print(FAKE)
            os.write(1, FAKE.encode() + b"\\n")
            sys.__stdout__.write(FAKE + "\\n")
            sys.__stdout__.flush()
            subprocess.run(["echo", FAKE], check=True)
            return "mine"
    """)
    assert _invoke(local_aws, function) == (None, "mine")
    assert _invoke(local_aws, function) == (None, "mine")


def test_worker_goes_on_when_a_handler_has_raised(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function(ECHO)
    _, before = _invoke(local_aws, function)
    error, payload = _invoke(local_aws, function, **{"raise": "no"})
    _, after = _invoke(local_aws, function)
    assert (error, payload["errorType"], payload["errorMessage"]) == ("Unhandled", "KeyError", "'no'")
    assert before["pid"] == after["pid"]


def test_log_has_the_latest_invocations_when_there_have_been_many(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function("def handler(event, context): print('number', event['number'])")
    for number in range(KEPT_LOG_STREAMS + 2):
        _invoke(local_aws, function, number=number)

    pages = local_aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
    numbers = [event["message"] for page in pages for event in page["events"] if event["message"].startswith("number")]
    assert numbers == [f"number {number}" for number in range(2, KEPT_LOG_STREAMS + 2)]


def test_error_is_a_marshal_error_when_the_result_is_not_json(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function("def handler(event, context): return {1, 2}")
    error, payload = _invoke(local_aws, function)
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.MarshalError")


def test_log_has_all_lines_of_the_invocation_when_a_handler_writes_some(
    local_aws: LocalAwsUnderTest, eventually: Callable[..., Any]
) -> None:
    function = local_aws.create_function("""
        import sys

        def handler(event, context):
            for number in range(200):
                print("line", number)
            sys.stderr.write("no newline at the end")
    """)
    _invoke(local_aws, function)

    def messages() -> list[str]:
        found = local_aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        return [line for event in found for line in event["message"].splitlines()]

    lines = eventually(messages)
    assert {f"line {number}" for number in range(200)} < set(lines)
    assert "no newline at the end" in lines
    assert not [line for line in lines if "end of log" in line]


def test_worker_and_its_files_are_gone_when_the_server_is_killed(
    tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    with lifecycle.start(port=0, data_dir=tmp_path / "data") as server:
        local_aws = LocalAwsUnderTest(server)
        function = local_aws.create_function("""
            import os, pathlib, time

            def handler(event, context):
                if "pid_file" in event:
                    pathlib.Path(event["pid_file"]).write_text(str(os.getpid()))
                    time.sleep(600)
        """)
        pid_file = tmp_path / "pid"
        local_aws.client("lambda").invoke(
            FunctionName=function, InvocationType="Event", Payload=json.dumps({"pid_file": str(pid_file)})
        )
        worker = int(eventually(lambda: pid_file.exists() and pid_file.read_text()))
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not _runs(worker))
    left = set((tmp_path / "data" / "tmp").iterdir())
    assert left
    with lifecycle.start(port=0, data_dir=tmp_path / "data"):  # it invokes the function again, in a folder of its own
        assert not left & set((tmp_path / "data" / "tmp").iterdir())


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
