import inspect
from types import ModuleType

import pytest
from ministack.services import lambda_svc

from emrp.local.patches.anchors import (
    AnchorError,
    edit,
    replace,
    replace_store,
    require_names,
    require_source,
    source_digest,
)


def _greet(name: str) -> str:
    greeting = "Hello"
    return f"{greeting} {name}"


class _Greeter:
    def greet(self, name: str) -> str:
        return f"Hello {name}"


@pytest.fixture
def module() -> ModuleType:
    module = ModuleType("vendored")
    module.__dict__.update(greet=_greet, Greeter=type("Greeter", (_Greeter,), {"greet": _Greeter.greet}))
    return module


def test_replace_wraps_the_function_when_its_source_is_the_known_one(module: ModuleType) -> None:
    replace(module, "greet", source_digest(_greet), lambda greet: lambda name: greet(name) + "!")
    assert module.greet("you") == "Hello you!"


def test_replace_names_the_function_when_its_source_has_changed(module: ModuleType) -> None:
    with pytest.raises(AnchorError, match=r"vendored\.greet .* instead of 000000000000"):
        replace(module, "greet", "000000000000", lambda greet: greet)


def test_replace_names_the_function_when_it_is_gone(module: ModuleType) -> None:
    with pytest.raises(AnchorError, match=r"vendored\.wave"):
        replace(module, "wave", "000000000000", lambda wave: wave)


def test_edit_changes_the_lines_when_they_occur_once(module: ModuleType) -> None:
    edit(module, "greet", ('"Hello"', "_word()"), _word=lambda: "Goodbye")
    assert module.greet("you") == "Goodbye you"
    assert "_word()" in inspect.getsource(module.greet)


def test_edit_changes_a_method_when_its_class_is_named(module: ModuleType) -> None:
    edit(module, "Greeter.greet", ("Hello", "Goodbye"))
    assert module.Greeter().greet("you") == "Goodbye you"


def test_edit_can_follow_another_when_both_change_one_function(module: ModuleType) -> None:
    edit(module, "greet", ('"Hello"', '"Goodbye"'))
    edit(module, "greet", ('"Goodbye"', '"Farewell"'))
    assert module.greet("you") == "Farewell you"


@pytest.mark.parametrize("before", ["greeting", "nowhere"])
def test_edit_leaves_the_function_alone_when_a_line_is_not_there_exactly_once(module: ModuleType, before: str) -> None:
    with pytest.raises(AnchorError, match=r"vendored\.greet"):
        edit(module, "greet", (before, ""))
    assert module.greet is _greet


def test_edit_names_the_method_when_its_class_is_gone(module: ModuleType) -> None:
    with pytest.raises(AnchorError, match=r"vendored\.Waver\.wave"):
        edit(module, "Waver.wave", ("a", "b"))


def test_require_names_refuses_when_a_module_that_is_not_imported_lacks_one() -> None:
    require_names("services/cloudformation/provisioners.py", "_RESOURCE_HANDLERS")
    with pytest.raises(AnchorError, match="_NO_SUCH_NAME is not the one that was patched"):
        require_names("services/cloudformation/provisioners.py", "_NO_SUCH_NAME")


@pytest.mark.parametrize("found", [None, [], {"already": "something"}])
def test_replace_store_refuses_when_there_is_no_empty_store_of_its_kind(module: ModuleType, found: object) -> None:
    module.__dict__["store"] = found
    with pytest.raises(AnchorError, match=r"vendored\.store"):
        replace_store(module, "store", {})


def test_replace_store_puts_the_new_one_there_when_the_old_is_empty(module: ModuleType) -> None:
    new: dict[str, str] = {}
    module.__dict__["store"] = {}
    replace_store(module, "store", new)
    assert module.store is new


def test_require_source_takes_what_replace_takes_when_the_module_is_not_imported() -> None:
    digest = source_digest(lambda_svc._sweep_extract_cache)

    require_source("services/lambda_svc.py", "_sweep_extract_cache", digest)


@pytest.mark.parametrize("name", ["_sweep_extract_cache", "_nothing_of_the_kind"])
def test_require_source_names_the_function_when_it_is_another_or_gone(name: str) -> None:
    with pytest.raises(AnchorError, match=name):
        require_source("services/lambda_svc.py", name, "000000000000")
