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
_GATEWAYS = {
    'DomainEvents(os.environ["STACK_NAME"]': "boto3.client('events')",
    "Gateways(": "boto3.client('emr-serverless'); boto3.client('stepfunctions')",
    "LogTails()": "boto3.client('s3')",
    "NotificationTopic(": "boto3.client('sns')",
    "PipelineBucket(": "boto3.client('s3')",
    "PipelineRegistry(": "boto3.resource('dynamodb')",
    "RunRecord(": "boto3.resource('dynamodb')",
    "Schedules(": "boto3.client('scheduler')",
    "StepFunctions()": "boto3.client('stepfunctions')",
    'client("dynamodb")': "boto3.client('dynamodb')",
}
# Checks whole pipeline files, with pydantic; nobody waits for it, and imported later it would take Lambda longer.
_MAY_TAKE_LONGER = {"register_pipeline"}
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
    source = app.read_text()
    clients = sorted({code for gateway, code in _GATEWAYS.items() if gateway in source})
    environment = {**_ENVIRONMENT, **dict.fromkeys(re.findall(r'os\.environ\["(\w+)"\]', source), "1")}
    yardstick = "; ".join(["import boto3", *clients])
    handler = f"import {app.parent.name}.app"
    return [_seconds(handler, environment) / _seconds(yardstick, environment) for _ in range(_ROUNDS)]


def _seconds(code: str, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, check=True)
    return time.perf_counter() - started
