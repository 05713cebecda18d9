"""YAML as pipeline files use it: with the line of every value, and without YAML 1.1's surprises."""

import re
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from emr_pipelines.errors import Problem


class _Loader(yaml.SafeLoader):
    """Reads `on`, `off`, `yes` and `no` and dates as the text that they are."""


_BOOL, _TIMESTAMP = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {_BOOL, _TIMESTAMP}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


@dataclass(frozen=True)
class YamlDocument:
    """The data of a YAML text, and where each path of it stands.

    A path is written as `jobs[0].name`; the whole document is the empty path.
    """

    data: Any
    lines: dict[str, int]
    problems: tuple[Problem, ...]

    def line_of(self, path: str) -> int | None:
        """Return the line of a path, or of the nearest thing around it that is in the text."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path)


def parse_yaml(text: str) -> YamlDocument:
    """Read a YAML (or JSON) text; what keeps it from being read is in `problems`, never raised."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        return YamlDocument(None, {}, (Problem("", f"not YAML: {error.problem}", line),))
    except yaml.YAMLError as error:
        return YamlDocument(None, {}, (Problem("", f"not YAML: {error}"),))
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    if node is not None:
        _walk(node, "", lines, problems)
    return YamlDocument(data, lines, tuple(problems))


def _walk(node: Node, path: str, lines: dict[str, int], problems: list[Problem]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, f"{path}[{index}]", lines, problems)
    elif isinstance(node, MappingNode):
        seen = set()
        for key, value in node.value:
            child = f"{path}.{key.value}" if path else str(key.value)
            if key.value in seen:
                problems.append(Problem(child, "is given twice", key.start_mark.line + 1))
            seen.add(key.value)
            _walk(value, child, lines, problems)
            lines[child] = key.start_mark.line + 1
