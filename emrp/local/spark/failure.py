"""The sentence with which EMR Serverless explains a failed job run (`stateDetails`)."""

import re
from collections.abc import Iterator
from pathlib import Path

_MAXIMUM_LENGTH = 256  # of stateDetails
_READ_BYTES = 256 * 1024  # the end of a log tells why a driver ended
_PYTHON_FAILURE = "Traceback (most recent call last):"
_JAVA_FAILURE = 'Exception in thread "'
_JAVA_EXCEPTION = re.compile(r'^(?:Caused by: |Exception in thread "[^"]*" |: )(\S.*)')
_STACK_FRAME = re.compile(r"^\s+(?:at |\.\.\. \d+ more)")
_LOG_LINE = re.compile(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d (?P<level>[A-Z]+) ")


def failure_details(exit_code: int, stdout: Path, stderr: Path) -> str:
    """Say how a driver ended, with the exceptions of its last failure, the root cause first.

    Spark writes what a Python script writes to its standard error to the driver's standard output.
    """
    details = f"Job failed, please check complete logs in configured logging destination. ExitCode: {exit_code}."
    if reason := failure_reason(stdout, stderr):
        details += f" Last few exceptions: {reason}"
    return details if len(details) <= _MAXIMUM_LENGTH else details[: _MAXIMUM_LENGTH - 3] + "..."


def failure_reason(stdout: Path, stderr: Path) -> str:
    """Return the exceptions of a driver's last failure, or else its last message; nothing if it said nothing."""
    out, err = _last_lines(stdout), _last_lines(stderr)
    return _last_failure(out) or _last_failure(err) or _last_message(err, out)


def _last_failure(lines: list[str]) -> str:
    starts = [number for number, line in enumerate(lines) if line.startswith((_PYTHON_FAILURE, _JAVA_FAILURE))]
    chosen: list[str] = []
    if starts:
        for exception in reversed(list(_exceptions(lines[starts[-1] :]))):
            if not any(cause in exception for cause in chosen):
                chosen.append(exception)
    return "; ".join(chosen)


def _exceptions(lines: list[str]) -> Iterator[str]:
    """Yield the exceptions of a Python or Java stack trace, each with all lines of its message."""
    message: list[str] = []
    in_python_frames = lines[0] == _PYTHON_FAILURE
    for line in lines[1:] if in_python_frames else lines:
        if in_python_frames and line.startswith(" "):
            continue
        found = _JAVA_EXCEPTION.match(line)
        if found or _STACK_FRAME.match(line) or _LOG_LINE.match(line):
            if message:
                yield " ".join(message)
            message = [found[1]] if found else []
        elif message or in_python_frames:
            message.append(line.strip())
        in_python_frames = False
    if message:
        yield " ".join(message).strip()


def _last_message(*logs: list[str]) -> str:
    """Return the last line that is neither part of a stack trace nor mere information."""
    for lines in logs:
        for line in reversed(lines):
            logged = _LOG_LINE.match(line)
            if logged and logged["level"] in {"ERROR", "FATAL"}:
                return line[logged.end() :]
            if line.strip() and not logged and not _STACK_FRAME.match(line):
                return line.strip()
    return ""


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
