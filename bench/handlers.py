"""How long a handler takes to import, against boto3 with the clients that it uses."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench.measure import Measure

ROOT = Path(__file__).parents[1]
_ROUNDS = 7
_BAR = 1.5
# Checks whole pipeline files, with pydantic; nobody waits for it, and imported later it would take Lambda longer.
_MAY_TAKE_LONGER = {"register_pipeline"}
# Prints each client and resource that code makes; a resource makes a client of its own.
_RECORDING = """
import boto3

def recorded(kind, make):
    def record(service, *args, **options):
        print(f"{{kind}}:{{service}}")
        return make(service, *args, **options)
    return record

boto3.client = recorded("client", boto3.client)
boto3.resource = recorded("resource", boto3.resource)
{code}
"""
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "PYTHONPATH": str(ROOT / "functions"),
}


def measure() -> Measure:
    """Import each handler in turn with its yardstick, each in a process of its own, and report the slowest."""
    ratios = {app.parent.name: median(_ratios(app)) for app in sorted((ROOT / "functions").glob("*/app.py"))}
    slowest = max(ratios.keys() - _MAY_TAKE_LONGER, key=lambda name: ratios[name])
    others = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items() if name != slowest)
    name = "handler import, in imports of boto3 with its clients"
    return Measure(name, _BAR, ratios[slowest], "x", f"{slowest}; {others}")


def _ratios(app: Path) -> list[float]:
    environment = {**_ENVIRONMENT, **dict.fromkeys(re.findall(r'os\.environ\["(\w+)"\]', app.read_text()), "1")}
    handler = f"import {app.parent.name}.app"
    yardstick = "; ".join(["import boto3", *_clients_made_by(handler, environment)])
    return [_seconds(handler, environment) / _seconds(yardstick, environment) for _ in range(_ROUNDS)]


def _clients_made_by(code: str, environment: dict[str, str]) -> list[str]:
    """Run code and return the calls by which it makes its clients and resources, each once."""
    made = _run(_RECORDING.format(code=code), environment, capture_output=True).stdout.decode().split()
    return sorted({f"boto3.{kind}({service!r})" for kind, service in (call.split(":") for call in made)})


def _seconds(code: str, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    _run(code, environment)
    return time.perf_counter() - started


def _run(code: str, environment: dict[str, str], *, capture_output: bool = False) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=capture_output)
