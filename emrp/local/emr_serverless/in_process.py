"""How other services of this process (Step Functions, CloudFormation) use this one: blocking, from any thread.

They speak its API with names in PascalCase; `to_api` and `from_api` translate by botocore's model.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

from botocore.model import ListShape, MapShape, Shape, StructureShape

from emrp.local.emr_serverless import protocol
from emrp.local.emr_serverless.service import EmrServerless

T = TypeVar("T")
Value = Any  # what JSON can hold; the shape that goes with it says what it is


class UnknownMember(Exception):  # noqa: N818 -- names what is wrong
    """A member that the operation does not have."""


class InProcessClient:
    """Performs operations on the server's loop, in the account and region of the calling thread."""

    def __init__(self, service: EmrServerless, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._service = service
        self._loop = loop

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Perform an operation as a request would; raises ApiError."""
        shape = protocol.input_shape(operation)
        if "clientToken" in shape.members:
            parameters = {"clientToken": str(uuid4())} | parameters
        protocol.check(parameters, shape)
        return self._run(operation, parameters, counted=True)

    def look(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Perform an operation that only reads, outside of the API quotas."""
        return self._run(operation, parameters, counted=False)

    def _run(self, operation: str, parameters: dict[str, Any], *, counted: bool) -> dict[str, Any]:
        def perform() -> dict[str, Any]:
            return protocol.output(operation, self._service.call(operation, parameters, counted=counted))

        return on_loop(self._loop, perform)


def on_loop(loop: Callable[[], asyncio.AbstractEventLoop], perform: Callable[[], T]) -> T:
    """Do something on the server's loop, in the account and region of the calling thread, and wait for it."""

    async def perform_on_loop() -> T:
        return perform()

    if threading.current_thread() is threading.main_thread():  # where the loop runs: it must not wait for itself
        return perform()
    return asyncio.run_coroutine_threadsafe(perform_on_loop(), loop()).result()


def to_api(value: Value, shape: Shape) -> Value:
    """Translate a value with names in PascalCase.

    Maps may be lists of Key and Value, as in CloudFormation, and numbers and booleans may be text.
    """
    match shape:
        case StructureShape():
            members = {_pascal(name): name for name in shape.members}
            if unknown := value.keys() - members.keys():
                raise UnknownMember(", ".join(sorted(unknown)))
            return {members[name]: to_api(item, shape.members[members[name]]) for name, item in value.items()}
        case MapShape():
            items = {item["Key"]: item["Value"] for item in value} if isinstance(value, list) else value
            return {key: to_api(item, shape.value) for key, item in items.items()}
        case ListShape():
            return [to_api(item, shape.member) for item in value]
    match shape.type_name:
        case "integer" | "long":
            return int(value)
        case "boolean":
            return value if isinstance(value, bool) else str(value).lower() == "true"
    return value


def from_api(value: Value, shape: Shape) -> Value:
    """Translate a value to names in PascalCase, with times in milliseconds."""
    match shape:
        case StructureShape():
            return {
                _pascal(name): from_api(value[name], member) for name, member in shape.members.items() if name in value
            }
        case MapShape():
            return {key: from_api(item, shape.value) for key, item in value.items()}
        case ListShape():
            return [from_api(item, shape.member) for item in value]
    return round(value * 1000) if shape.type_name == "timestamp" else value


def _pascal(name: str) -> str:
    return name[0].upper() + name[1:]
