"""Step Functions: a JSONPath that finds nothing ends the execution instead of standing for null.

Only a Choice rule may look for what is not there (IsPresent).
"""

from collections.abc import Callable
from contextvars import ContextVar

from ministack.services import stepfunctions

from emrp.local.patches.anchors import edit, replace

Evaluate = Callable[..., bool]

_may_be_absent: ContextVar[bool] = ContextVar("_may_be_absent", default=False)


def install() -> None:
    """Make paths strict outside Choice rules."""
    edit(
        stepfunctions,
        "_resolve_path",
        (
            "    return values[0] if values else None\n",
            "    return values[0] if values else _not_found(path)\n",
        ),
        _not_found=_not_found,
    )
    replace(stepfunctions, "_evaluate_rule", "728e6547c8ca", _looking)


def _not_found(path: str) -> None:
    if not _may_be_absent.get():
        raise stepfunctions._ExecutionError("States.Runtime", f"The JSONPath '{path}' could not be found in the input.")


def _looking(evaluate: Evaluate) -> Evaluate:
    def evaluate_rule(rule: dict[str, object], data: object, context: dict[str, object] | None = None) -> bool:
        token = _may_be_absent.set(True)
        try:
            return evaluate(rule, data, context)
        finally:
            _may_be_absent.reset(token)

    return evaluate_rule
