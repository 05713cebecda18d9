"""YAML as pipeline files use it: with the line of every value, and without YAML 1.1's surprises."""

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from emr_pipelines.definition import nearest_line
from emr_pipelines.errors import Problem

LONGEST_TEXT = 500_000
_MOST_VALUES = 100_000
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("bool", "float", "int", "map", "merge", "null", "seq", "str")}


class _Loader(yaml.SafeLoader):
    """Takes `on`, `off`, `yes`, `no`, dates, `12:30` and `010` as the texts that they are, as YAML 1.2 and JSON do."""


_CHANGED = {f"{_TAG}{name}" for name in ("bool", "float", "int", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _CHANGED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile("^[-+]?(?:0|[1-9][0-9]{0,18})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"^[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]{1,2})?|[eE][-+]?[0-9]{1,2})$"),
    list("-+0123456789"),
)


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
        return nearest_line(self.lines, path)


def parse_yaml(text: str) -> YamlDocument:
    """Read a YAML (or JSON) text; what keeps it from being read is in `problems`, never raised."""
    if len(text) > LONGEST_TEXT:
        return _unreadable(f"has {len(text)} characters; {LONGEST_TEXT} are allowed")
    try:
        return _parse(_spaces_for_tabs(text))
    except yaml.MarkedYAMLError as error:
        return _unreadable(f"not YAML: {error.problem}", error.problem_mark)
    except (yaml.YAMLError, ValueError) as error:  # like a control character
        return _unreadable(f"not YAML: {error}")
    except RecursionError:
        return _unreadable("is nested too deeply")


def _parse(text: str) -> YamlDocument:
    loader = _Loader(text)
    node = loader.get_single_node()
    if node is None:
        return YamlDocument(None, {}, ())
    reader = _Reader()
    reader.walk(node, "")
    # Only what has been seen whole is built: aliases of aliases may stand for more than fits into memory.
    data = None if reader.problems else loader.construct_document(node)
    return YamlDocument(data, reader.lines, tuple(reader.problems))


class _Reader:
    """Finds where everything stands, and what is not to be in a pipeline file."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self._values = 0

    def walk(self, node: Node, path: str) -> None:
        line = node.start_mark.line + 1
        self._values += 1
        if self._values == _MOST_VALUES:
            self.problems.append(Problem("", f"has more than {_MOST_VALUES} values, which its aliases repeat", line))
        if self._values >= _MOST_VALUES:
            return
        self.lines[path] = line
        if node.tag not in _PLAIN_TAGS:
            self.problems.append(Problem(path, f"not YAML that can be read: it has no {node.tag}", line))
        elif isinstance(node, ScalarNode):
            # JSON writes what is beyond 16 bits as two halves; half a character is refused.
            node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
        elif isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.walk(item, f"{path}[{index}]")
        elif isinstance(node, MappingNode):
            self._walk_mapping(node, path)

    def _walk_mapping(self, node: MappingNode, path: str) -> None:
        seen = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode) or key.tag not in {f"{_TAG}str", f"{_TAG}merge"}:
                what = key.value if isinstance(key, ScalarNode) else "a list or a mapping"
                self.problems.append(Problem(path, f"the name {what} must be a text: write it in quotes", line))
                continue
            child = f"{path}.{key.value}" if path else key.value
            if key.value in seen:
                self.problems.append(Problem(child, "is given twice", line))
            seen.add(key.value)
            self.walk(value, child)
            self.lines[child] = line


def _unreadable(message: str, mark: yaml.error.Mark | None = None) -> YamlDocument:
    return YamlDocument(None, {}, (Problem("", message, mark.line + 1 if mark else None),))


def _spaces_for_tabs(text: str) -> str:
    """Return JSON without the tabs that YAML would not have: between its values they mean nothing."""
    if "\t" in text and text.lstrip().startswith("{"):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text
        return text.replace("\t", " ")
    return text
