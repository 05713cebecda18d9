"""How long a handler takes to import, against boto3 with the clients that it uses."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.measure import Measure, spread

ROOT = Path(__file__).parents[1]
_ROUNDS = 7
_BAR = 1.5
_GATEWAYS = {
    "DomainEvents()": "boto3.client('events')",
    "EmrServerless()": "boto3.client('emr-serverless')",
    "NotificationTopic(": "boto3.client('sns')",
    "PipelineBucket(": "boto3.client('s3')",
    "RunRecord(": "boto3.resource('dynamodb')",
    "StepFunctions()": "boto3.client('stepfunctions')",
}
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "PYTHONPATH": str(ROOT / "functions"),
}


def measures() -> Iterator[Measure]:
    """Import each handler in turn with its yardstick, each in a process of its own."""
    for app in sorted((ROOT / "functions").glob("*/app.py")):
        source = app.read_text()
        clients = [code for gateway, code in _GATEWAYS.items() if gateway in source]
        environment = {**_ENVIRONMENT, **dict.fromkeys(re.findall(r'os\.environ\["(\w+)"\]', source), "1")}
        yardstick = "; ".join(["import boto3", *clients])
        handler = f"import {app.parent.name}.app"
        ratios = [_seconds(handler, environment) / _seconds(yardstick, environment) for _ in range(_ROUNDS)]
        yield Measure(f"import of {app.parent.name}, in imports of boto3", _BAR, median(ratios), "x", spread(ratios))


def _seconds(code: str, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, check=True)
    return time.perf_counter() - started
