"""The sentence with which EMR Serverless explains a failed job run (`stateDetails`)."""

import re
from pathlib import Path

_MAXIMUM_LENGTH = 256  # of stateDetails
_READ_BYTES = 256 * 1024  # the end of the log tells why a driver ended
_TYPE = r"(?:[A-Za-z_$][\w$]*\.)*[A-Z_$a-z][\w$]*(?:Exception|Error|Interrupt|Exit|Failure)\b"
_EXCEPTION = re.compile(rf"^(?:Caused by: |Exception in thread \"[^\"]*\" |: )?({_TYPE}(?:: .*)?)$")
_LOG_LINE = re.compile(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d (?:TRACE|DEBUG|INFO|WARN) ")
_ERROR_CLASS = re.compile(r": \[[A-Z][A-Z0-9_.]+\] ")
_STACK_FRAME = re.compile(r"^(?:\s|at |\.\.\. )")
_TRACEBACK = "Traceback (most recent call last):"


def failure_details(exit_code: int, stderr: Path) -> str:
    """Say how a driver ended, with the exception of its log that helps most."""
    details = f"Job failed, please check complete logs in configured logging destination. ExitCode: {exit_code}."
    if reason := _reason(_last_lines(stderr)):
        details += f" Last few exceptions: {reason}"
    return details if len(details) <= _MAXIMUM_LENGTH else details[: _MAXIMUM_LENGTH - 3] + "..."


def _reason(lines: list[str]) -> str:
    """Choose the exception with an error class of Spark, else the root cause, of the last failure in a log."""
    starts = [number for number, line in enumerate(lines) if line.startswith((_TRACEBACK, "Exception in thread"))]
    last_failure = lines[starts[-1] :] if starts else lines
    exceptions = [found[1] for line in last_failure if (found := _EXCEPTION.match(line))]
    classified = [exception for exception in exceptions if _ERROR_CLASS.search(exception)]
    if classified or exceptions:
        return (classified or exceptions)[-1]
    plain = [line for line in lines if not (_LOG_LINE.match(line) or _STACK_FRAME.match(line)) and line.strip()]
    return plain[-1].strip() if plain else ""


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
