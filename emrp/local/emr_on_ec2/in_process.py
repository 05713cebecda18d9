"""How other services of this process (Step Functions, CloudFormation) use this one: blocking, from any thread."""

import asyncio
from collections.abc import Callable
from threading import Event
from typing import Any

from emrp.local.emr_on_ec2 import protocol
from emrp.local.emr_on_ec2.service import EmrOnEc2
from emrp.local.emr_serverless.in_process import on_loop
from emrp.local.emr_serverless.stepfunctions import Watchers

Members = dict[str, Any]


class ServerEnds(Exception):  # noqa: N818 -- names what happens
    """What was waited for will not come any more."""


class InProcessClient:
    """Performs operations on the server's loop, in the account and region of the calling thread."""

    def __init__(self, service: EmrOnEc2, loop: Callable[[], asyncio.AbstractEventLoop], watchers: Watchers) -> None:
        self._service = service
        self._loop = loop
        self._watchers = watchers
        self._has_ended = False

    def call(self, operation: str, parameters: Members) -> Members:
        """Perform an operation as a request would; raises ApiError."""
        checked = protocol.checked(operation, parameters)
        return on_loop(self._loop, lambda: self._service.call(operation, checked))

    def cluster(self, cluster_id: str) -> Members:
        """Return a cluster."""
        found: Members = self.call("DescribeCluster", {"ClusterId": cluster_id})["Cluster"]
        return found

    def step(self, cluster_id: str, step_id: str) -> Members:
        """Return a step of a cluster."""
        found: Members = self.call("DescribeStep", {"ClusterId": cluster_id, "StepId": step_id})["Step"]
        return found

    def when(
        self,
        identifier: str,
        look: Callable[[], Members],
        states: frozenset[str],
        wait: Callable[[Event], object] | None = None,
    ) -> Members:
        """Return a cluster or a step as soon as it is in one of some states; `wait` waits for it to change.

        Without it, raises ServerEnds when this process ends before.
        """
        with self._watchers.watching(identifier) as changed:
            while (found := look())["Status"]["State"] not in states:
                (wait or self._wait)(changed)
                changed.clear()
            return found

    def end(self) -> None:
        """Let nobody wait any more, because the server ends: it would wait for their threads."""
        self._has_ended = True
        self._watchers.wake_all()

    def _wait(self, changed: Event) -> None:
        if not self._has_ended:
            changed.wait()
        if self._has_ended:
            raise ServerEnds("The local AWS ended while this was under way.")
