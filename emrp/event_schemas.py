"""events/schemas, made of the types of the domain events' details: python -m emrp.event_schemas."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emr_pipelines import event_details
from emr_pipelines.domain_event import DETAILS
from emr_pipelines.gateways.domain_events import SOURCE
from pydantic import ConfigDict, TypeAdapter, with_config
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import CoreSchema
from typing_extensions import get_original_bases, is_typeddict

FOLDER = Path(__file__).parents[1] / "events" / "schemas"


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out what only repeats the name of a field."""

    def field_title_should_be_set(self, schema: CoreSchema | Any) -> bool:  # noqa: ANN401, ARG002 - as pydantic has it
        return False


def schema_of(detail_type: str) -> dict[str, Any]:
    """Return the JSON Schema of the `detail` of an event, as it is published."""
    schema = _schema(DETAILS[detail_type])
    for base in _bases(DETAILS[detail_type]):
        for name, described in _schema(base)["properties"].items():
            schema["properties"][name] = {**described, **schema["properties"][name]}
    stack = {"type": "string", "description": "The stack that has published the event."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f'The detail of "{detail_type}" of the source {SOURCE}',
        "properties": {"stack": stack, **schema["properties"]},
        "required": ["stack", *schema["required"]],
    }


def schemas() -> dict[Path, str]:
    """Return what events/schemas is to hold."""
    for _, kind in inspect.getmembers(event_details, is_typeddict):
        with_config(ConfigDict(use_attribute_docstrings=True))(kind)
    return {
        FOLDER / f"{detail_type}.json": json.dumps(schema_of(detail_type), indent=2) + "\n" for detail_type in DETAILS
    }


def main() -> None:
    """Write events/schemas anew."""
    for obsolete in set(FOLDER.glob("*.json")) - schemas().keys():
        obsolete.unlink()
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")


def _schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - mypy knows no type of TypedDicts
    return TypeAdapter[Any](kind).json_schema(schema_generator=_WithoutTitles)


def _bases(kind: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the types from which a type has fields: only they have the docstrings of these."""
    for base in get_original_bases(kind):
        if is_typeddict(base):
            yield base
            yield from _bases(base)


if __name__ == "__main__":
    main()
