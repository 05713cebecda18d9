"""How a patch takes hold of ministack: only where it is still what the patch was written against.

`replace` puts a function in the place of another whose source is unchanged; `edit` changes some lines inside a
function that is otherwise used as it is. Both refuse to start the server on a ministack they do not know.
"""

import ast
import hashlib
import inspect
import linecache
import re
import textwrap
from collections.abc import Callable, MutableMapping
from functools import cache
from importlib import resources
from types import ModuleType
from typing import Any


class AnchorError(Exception):
    """ministack has changed below a patch."""


def replace(owner: ModuleType | type, name: str, digest: str, wrap: Callable[[Any], Any]) -> None:
    """Put `wrap(original)` in the place of a function or method whose source has the given digest."""
    original = getattr(owner, name, None)
    found = source_digest(original) if original is not None else "nothing"
    if found != digest:
        raise AnchorError(_complaint(f"{owner.__name__}.{name}", f"its source is {found} instead of {digest}"))
    setattr(owner, name, wrap(original))


def edit(module: ModuleType, name: str, *changes: tuple[str, str], **helpers: object) -> None:
    """Change lines of a function or method (`Class.method`) of a module.

    Every change names text that occurs exactly once and what stands there from now on; `helpers` become names
    that the new lines may use.
    """
    owner: Any = module
    *classes, attribute = name.split(".")
    for part in classes:
        owner = getattr(owner, part, None)
    label = f"{module.__name__}.{name}"
    function = getattr(owner, attribute, None)
    if function is None:
        raise AnchorError(_complaint(label, "it does not exist"))
    source = changed_text(label, textwrap.dedent(inspect.getsource(function)), *changes)
    filename = f"<{label} as edited>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    module.__dict__.update(helpers)
    namespace: dict[str, object] = {}
    exec(compile(source, filename, "exec"), module.__dict__, namespace)  # noqa: S102 -- text of this repository
    setattr(owner, attribute, namespace[function.__name__])


def replace_store(module: ModuleType, name: str, store: MutableMapping[Any, Any]) -> None:
    """Put a store in the place of one of the same kind, in which nothing is yet."""
    found = getattr(module, name, None)
    if found is None or not isinstance(store, type(found)) or found:
        raise AnchorError(_complaint(f"{module.__name__}.{name}", f"it is {found!r}, no empty store"))
    setattr(module, name, store)


def require_names(path: str, *names: str) -> None:
    """Check that a module of ministack, which is too slow to import at the start, assigns to these names.

    `path` is its file, relative to the package.
    """
    source = (resources.files("ministack") / path).read_text(encoding="utf-8")
    for name in names:
        if not re.search(rf"^{name}\b.*=", source, re.MULTILINE):
            raise AnchorError(_complaint(f"{path}: {name}", "it does not exist"))


def require_source(path: str, name: str, digest: str) -> None:
    """Check that a function of such a module has the source with the given digest, which `replace` expects later."""
    source = _functions(path).get(name, "")
    if (found := _digest(source)) != digest:
        raise AnchorError(_complaint(f"{path}: {name}", f"its source is {found} instead of {digest}"))


@cache
def _functions(path: str) -> dict[str, str]:
    """Return the source of each function of a module by its name."""
    text = (resources.files("ministack") / path).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    functions = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name: "".join(lines[node.lineno - 1 : node.end_lineno]) for node in functions}


def when_first_asked(handlers: MutableMapping[str, Any], service: str, install_in_it: Callable[[], None]) -> None:
    """Change a service when its first request comes, since ministack imports it only then."""
    handler = handlers[service]
    install_once = cache(install_in_it)

    async def install_and_handle(*request: Any) -> Any:  # noqa: ANN401 -- ministack's
        install_once()
        return await handler(*request)

    handlers[service] = install_and_handle


def changed_text(label: str, text: str, *changes: tuple[str, str]) -> str:
    """Return a text with changes made to it, each where its first half occurs exactly once."""
    for before, after in changes:
        if text.count(before) != 1:
            raise AnchorError(_complaint(label, f"it has {text.count(before)} times {before!r}"))
        text = text.replace(before, after)
    return text


def source_digest(function: object) -> str:
    """Return a short digest of a function's source text."""
    return _digest(inspect.getsource(function))  # type: ignore[arg-type]


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def _complaint(label: str, problem: str) -> str:
    return (
        f"{label} is not the one that was patched ({problem}): "
        "install the ministack version that pyproject.toml pins, or revise the patch."
    )
