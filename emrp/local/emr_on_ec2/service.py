"""The service of one process: all operations, on all clusters of all accounts and regions."""

import asyncio
import re
from typing import Any

from ministack.services import emr

from emrp.local.emr_on_ec2 import protocol
from emrp.local.emr_on_ec2.clusters import ClusterOperations
from emrp.local.emr_on_ec2.events import Watch
from emrp.local.emr_on_ec2.execution import Surroundings
from emrp.local.emr_on_ec2.instances import InstanceOperations
from emrp.local.emr_on_ec2.registry import Registry
from emrp.local.emr_on_ec2.steps import StepOperations
from emrp.local.emr_serverless.errors import ApiError

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")
_LOOKS = ("Describe", "Get", "List")
_AS_MINISTACK_ANSWERS = {  # operation: the parameter that names a cluster
    "ListInstanceGroups": "ClusterId",
    "ListInstanceFleets": "ClusterId",
    "ListBootstrapActions": "ClusterId",
    "AddTags": "ResourceId",
    "RemoveTags": "ResourceId",
    "GetBlockPublicAccessConfiguration": None,
    "PutBlockPublicAccessConfiguration": None,
}


class EmrOnEc2:
    """Performs operations by their AWS names."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._registry = Registry(surroundings)
        self._endings: set[asyncio.Task[None]] = set()
        steps = StepOperations(self._registry)
        self._operations = (
            ClusterOperations(self._registry, steps),
            steps,
            InstanceOperations(self._registry),
        )

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Perform an operation with parameters that fit the model."""
        method = _WORD_START.sub("_", operation).lower()
        for operations in self._operations:
            if perform := getattr(operations, method, None):
                result = perform(parameters)
                break
        else:
            result = self._as_ministack(operation, parameters)
        if not operation.startswith(_LOOKS):
            self._around.events.changed()
        return protocol.output(operation, result)

    def watch(self, watch: Watch) -> None:
        """Have every change told."""
        self._around.events.watch(watch)

    def resume(self) -> None:
        """Bring back what an earlier server kept, which ministack has loaded."""
        self._registry.resume()

    def reset(self) -> None:
        """Forget everything; what runs is ended."""
        for live in self._registry.forget_all():
            ending = asyncio.create_task(live.shut_down())
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def shut_down(self) -> None:
        """End every step and bootstrap action; no process is left."""
        await asyncio.gather(*(live.shut_down() for live in self._registry.everywhere()), *self._endings)

    def _as_ministack(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if operation not in _AS_MINISTACK_ANSWERS:
            raise ApiError("ValidationException", f"{operation} is not supported locally: it needs EMR on AWS.")
        if named := _AS_MINISTACK_ANSWERS[operation]:
            self._registry.find(parameters[named])
        return protocol.content(emr._HANDLERS[operation](parameters))
