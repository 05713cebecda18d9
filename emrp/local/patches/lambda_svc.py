"""Lambda: what a Python function returns, raises and logs arrives as on AWS.

ministack's worker process reports every exception as Runtime.HandlerError and is killed for it, can mistake what a
function (or a program that it runs) prints for its result, waits a fixed time for log lines that may not come, and
lives on when the server is killed while it works. And the log of every invocation stays in memory for ever.
"""

import json
import queue
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from emrp.local.patches.anchors import changed_text, edit, replace

KEPT_LOG_STREAMS = 500  # of a function; ministack begins one for each invocation

_END_OF_LOG = "\x00end of log"
_LOG_SECONDS = 1.0

_WORKER_HELPERS = f"""
def _exit_with_server():
    # stdin is the server's end of a pipe: it hangs up when the server is gone, even in the middle of a handler
    import os, select, threading

    def wait():
        hang_up = select.poll()
        hang_up.register(0, 0)
        hang_up.poll()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _own_stdout():
    # the results' pipe gets a number of its own; file 1, to which programs print, becomes the log
    import os, sys
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return results


def _error(error, request_id, skipped_frames):
    import traceback
    frames = traceback.extract_tb(error.__traceback__)[skipped_frames:]
    return {{
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_list(frames),
    }}


def _import_error(error, module):
    payload = _error(error, "", 0)
    if isinstance(error, ImportError):
        payload["errorType"] = "Runtime.ImportModuleError"
        payload["errorMessage"] = f"Unable to import module '{{module}}': {{error}}"
    return payload


def _end_log():
    import sys
    sys.stderr.write({_END_OF_LOG!r} + "\\n")
    sys.stderr.flush()
"""

_WORKER_CHANGES = (
    ("    _real_stdout = sys.stdout\n", "    _exit_with_server()\n    _real_stdout = _own_stdout()\n"),
    (
        '        _real_stdout.write(json.dumps({"status": "error", "error": str(e)}) + "\\n")\n',
        (
            "        payload = _import_error(e, module_name)\n"
            '        _real_stdout.write(json.dumps({"status": "error", "error": str(e), "payload": payload}) + "\\n")\n'
        ),
    ),
    (
        """        try:
            result = handler_fn(event, context)
            _real_stdout.write(json.dumps({"status": "ok", "result": result}) + "\\n")
        except Exception as e:
            _real_stdout.write(json.dumps({"status": "error", "error": str(e), \
"trace": traceback.format_exc()}) + "\\n")
""",
        """        try:
            response = {"status": "ok", "result": handler_fn(event, context)}
        except Exception as e:
            response = {"status": "error", "error": str(e), "trace": traceback.format_exc()}
            response["payload"] = _error(e, _ms_ctx.get("request_id", ""), 1)
        try:
            line = json.dumps(response)
        except (TypeError, ValueError) as e:
            payload = {"errorMessage": f"Unable to marshal response: {e}", "errorType": "Runtime.MarshalError"}
            line = json.dumps({"status": "error", "error": str(e), "payload": payload})
        _end_log()
        _real_stdout.write(line + "\\n")
""",
    ),
)


def install() -> None:
    """Mend the Python worker and how its answers are read."""
    script = changed_text("the Python worker of Lambda", lambda_runtime._PYTHON_WORKER_SCRIPT, *_WORKER_CHANGES)
    lambda_runtime._PYTHON_WORKER_SCRIPT = _WORKER_HELPERS + script
    edit(
        lambda_runtime,
        "Worker.invoke",
        # a function that has raised can be called again; only a worker in an unknown state is given up
        (
            'if response.get("status") == "error":',
            'if response.get("status") == "error" and "payload" not in response:',
        ),
    )
    edit(
        lambda_runtime,
        "Worker._spawn",
        (
            "raise RuntimeError(f\"Worker init failed: {response.get('error')}\")",
            "raise _init_error(response)",
        ),
        _init_error=_init_error,
    )
    edit(
        lambda_svc,
        "_execute_function_warm",
        ('                "body": {\n', '                "body": result.get("payload") or {\n'),
        ('error_type = "Runtime.HandlerError"', "error_type = _type_of_death(error_msg)"),
        _type_of_death=_type_of_death,
    )
    edit(
        lambda_svc,
        "_route_async_failure",
        (
            "        body = json.dumps(envelope)\n",
            "        body, attributes = _failed_event(func_name, target_arn, envelope)\n",
        ),
        ('"message_attributes": {},', '"message_attributes": attributes,'),
        ('"md5_attrs": "",', '"md5_attrs": _sqs._md5_msg_attrs(attributes),'),
        _failed_event=_failed_event,
    )
    edit(
        lambda_svc,
        "_emit_lambda_logs",
        (
            '        stream = group["streams"][stream_name]\n',
            '        stream = group["streams"][stream_name]\n        _forget_oldest(group["streams"])\n',
        ),
        _forget_oldest=_forget_oldest,
    )
    replace(lambda_runtime.Worker, "_drain_stderr_bounded", "3fd7cc742872", _until_end_of_log)


def _forget_oldest(streams: dict[str, Any]) -> None:
    for name in list(streams)[:-KEPT_LOG_STREAMS]:
        streams.pop(name, None)  # of several threads one comes first


def _failed_event(function: str, target_arn: str, envelope: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return body and attributes for a target: a dead-letter queue gets the event, a destination the whole story."""
    configuration = lambda_svc._functions.get(function, {}).get("config", {})
    if target_arn != (configuration.get("DeadLetterConfig") or {}).get("TargetArn"):
        return json.dumps(envelope), {}
    attributes = {
        "RequestID": str(uuid4()),
        "ErrorCode": str(envelope["responseContext"]["statusCode"]),
        "ErrorMessage": envelope["responsePayload"].get("errorMessage", ""),
    }
    return json.dumps(envelope["requestPayload"]), {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value
    }


def _type_of_death(message: str) -> str:
    """Return AWS's name for what became of a worker that gave no answer."""
    return "Runtime.ExitError" if message == "Worker process died" else "Runtime.HandlerError"


def _init_error(response: dict[str, Any]) -> Exception:
    """Return an exception whose class has the name that AWS gives to this failure."""
    payload = response.get("payload") or {"errorType": "RuntimeError", "errorMessage": response.get("error")}
    error: Exception = type(payload["errorType"], (Exception,), {})(payload["errorMessage"])
    return error


def _until_end_of_log(drain: Callable[..., str]) -> Callable[..., str]:
    """Read the log of a Python worker up to the mark at its end; other workers write none."""

    def drain_stderr(worker: lambda_runtime.Worker, *arguments: float, **options: float) -> str:
        if not worker.config.get("Runtime", "").startswith("python"):
            return drain(worker, *arguments, **options)
        lines: list[str] = []
        deadline = time.monotonic() + _LOG_SECONDS
        while True:
            try:
                line: str = worker._stderr_queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if line.endswith(_END_OF_LOG):
                lines.append(line.removesuffix(_END_OF_LOG))
                break
            lines.append(line)
        return "\n".join(lines).strip("\n")

    return drain_stderr
