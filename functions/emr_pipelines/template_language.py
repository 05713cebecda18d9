"""The language of templates: Jinja2's expressions and `{% if %}`, in a sandbox from which nothing leads anywhere.

What a template reaches is data: the fields of mappings, the items of lists, and a few methods of texts. There are no
functions, no loops and no other statements, so a template always ends, and soon.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateAssertionError,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    nodes,
)
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from emr_pipelines.hints import did_you_mean
from emr_pipelines.template_filters import FILTERS, as_text, check_length

_DEFERRED = frozenset({"jobs", "previous"})
_TEXT_METHODS = frozenset({
    "endswith", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rpartition", "rsplit", "rstrip",
    "split", "startswith", "strip", "title", "upper",
})  # fmt: skip
_EXPRESSIONS = (
    nodes.Add, nodes.And, nodes.Call, nodes.Compare, nodes.Concat, nodes.CondExpr, nodes.Const, nodes.Dict, nodes.Div,
    nodes.Filter, nodes.FloorDiv, nodes.Getattr, nodes.Getitem, nodes.Keyword, nodes.List, nodes.Mod, nodes.Mul,
    nodes.Name, nodes.Neg, nodes.Not, nodes.Operand, nodes.Or, nodes.Pair, nodes.Pos, nodes.Slice, nodes.Sub,
    nodes.TemplateData, nodes.Test, nodes.Tuple,
)  # fmt: skip
_STATEMENTS = (nodes.If, nodes.Output, nodes.Template)

Reference = tuple[str | int, ...]
"""What a template names, as in ("jobs", "preprocess", "output", "rows")."""


class _TextMethod:
    """A method of a text, to be called: it has no text of its own, so that no template shows an object of Python."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any value of a template
        return getattr(self._text, self._name)(*arguments, **named)

    def __repr__(self) -> str:
        raise TypeError(f"{self._name} is a method of texts: call it, as {self._name}()")


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 in which a mapping has fields and no methods, and in which nothing small becomes large."""

    intercepted_binops = frozenset({"*", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True, optimized=False, finalize=_finalize)
        self.globals.clear()
        self.filters = dict(FILTERS)

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401 - any value of a template
        if isinstance(obj, str) and attribute in _TEXT_METHODS:
            return _TextMethod(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:  # noqa: ANN401 - any value of a template
        if isinstance(obj, Undefined):
            return obj  # so that `a.b.c | default(1)` works when there is not even an `a.b`
        if isinstance(obj, (Mapping, list, tuple, str)):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        return self.undefined(_nothing_named(argument, obj), obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:  # noqa: ANN401 - any value of a template
        return isinstance(obj, (Undefined, _TextMethod))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        for operand in (left, right):
            if not isinstance(operand, (bool, int, float, Undefined)):
                raise SecurityError(f"{operator} is for numbers, not for {as_text(operand)[:40]}")
        return super().call_binop(context, operator, left, right)


def _finalize(value: Any) -> Any:  # noqa: ANN401 - any value of a template
    return value if isinstance(value, Undefined) else as_text(value)


def _nothing_named(argument: object, container: object) -> str:
    if not isinstance(container, Mapping):
        return f"there is no {argument!r} in {as_text(container)[:40]}"
    return f"there is no {argument!r}; {did_you_mean(str(argument), map(str, container))}"


_ENVIRONMENT = _Environment()


def is_template(text: str) -> bool:
    """Tell whether there is anything in a text to be rendered."""
    return "{{" in text or "{%" in text or "{#" in text


@lru_cache(maxsize=4096)
def compiled(text: str) -> Template:
    """Return a text as a template; raises ValueError when it is none."""
    try:
        tree = _parse(text)
        return _ENVIRONMENT.from_string(tree)
    except TemplateAssertionError as error:
        unknown = re.search(r"No filter named '(.+)'", str(error))
        hint = f" ({did_you_mean(unknown[1], FILTERS)})" if unknown else ""
        raise ValueError(f"{error.message}{hint}") from error
    except TemplateSyntaxError as error:
        raise ValueError(str(error.message)) from error
    except (RecursionError, SyntaxError, MemoryError) as error:  # what Python says of very deep nesting
        raise ValueError("is nested too deeply") from error


@lru_cache(maxsize=4096)
def references(text: str) -> frozenset[Reference]:
    """Return everything that a template names; raises ValueError when it is none."""
    compiled(text)
    tree = _parse(text)
    inner = {id(node.node) for node in tree.find_all(nodes.Getattr)} | {
        id(node.node) for node in tree.find_all(nodes.Getitem)
    }
    outermost = (node for node in tree.find_all((nodes.Name, nodes.Getattr, nodes.Getitem)) if id(node) not in inner)
    return frozenset(path for node in outermost if (path := _reference(node)))


def is_deferred(text: str) -> bool:
    """Tell whether a template needs something of other jobs."""
    return any(name in text for name in _DEFERRED) and any(path[0] in _DEFERRED for path in references(text))


def evaluate(text: str, scope: Mapping[str, Any]) -> str:
    """Render one text; raises ValueError with what is wrong."""
    template, written = compiled(text), 0
    parts = []
    try:
        for part in template.generate(scope):
            written += len(part)
            check_length(written)
            parts.append(part)
    except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(_said(error, scope)) from error
    return "".join(parts)


def _parse(text: str) -> nodes.Template:
    tree = _ENVIRONMENT.parse(text)
    for node in _all(tree):
        if isinstance(node, nodes.Stmt) and not isinstance(node, _STATEMENTS):
            raise TemplateSyntaxError("of Jinja2's statements there is only {% if %}; lists have filters", node.lineno)
        if not isinstance(node, (*_EXPRESSIONS, *_STATEMENTS)):
            what = getattr(node, "operator", type(node).__name__)
            raise TemplateSyntaxError(f"{what!r} cannot be used in templates", node.lineno)
    return tree


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)


def _reference(node: nodes.Node) -> Reference:
    """Return what an expression like `jobs['x'].output` names; at what is computed it ends."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    if not isinstance(node, (nodes.Getattr, nodes.Getitem)):
        return ()
    base = _reference(node.node)
    part: object = None
    if isinstance(node, nodes.Getattr):
        part = node.attr
    elif isinstance(node.arg, nodes.Const):
        part = node.arg.value
    is_complete = len(base) == _depth(node.node)
    return (*base, part) if base and is_complete and isinstance(part, (str, int)) else base


def _depth(node: nodes.Node) -> int:
    return 1 + _depth(node.node) if isinstance(node, (nodes.Getattr, nodes.Getitem)) else 1


def _said(error: Exception, scope: Mapping[str, Any]) -> str:
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    if isinstance(error, UndefinedError) and message.endswith("is undefined"):
        return f"{message}; in scope: {', '.join(scope)}"
    return message
