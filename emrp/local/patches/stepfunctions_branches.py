"""Step Functions: the states inside Map and Parallel.

ministack leaves them out of the execution history, lets parallel branches share one context (task token,
variables), lets the other branches go on when one has failed, and ignores JSONata on a Parallel state.
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions

from emrp.local.patches.anchors import edit
from emrp.local.patches.stepfunctions_execution import branches, end_branches

Context = dict[str, Any]
State = dict[str, Any]
Execution = dict[str, Any]

_SUB_MACHINE = (
    (
        """
    current_input = copy.deepcopy(input_data)
""",
        """
    current_input = copy.deepcopy(input_data)
    ctx = _branch_context(ctx)
""",
    ),
    ("while current_name:", "while current_name and _still_running():"),
    (
        """
        if state_type == "Succeed":
            return _apply_output_path(state_def,
                                      _apply_input_path(state_def, current_input, ctx), ctx)
""",
        """
        entered_name = current_name
        _record_state(execution, f"{state_type}StateEntered", entered_name, current_input)
        if state_type == "Succeed":
            current_input = _apply_output_path(state_def,
                                               _apply_input_path(state_def, current_input, ctx), ctx)
            _record_state(execution, "SucceedStateExited", entered_name, current_input)
            return current_input
""",
    ),
    (
        """
            current_input, current_name = handler_fn(
                state_def, current_input, ctx)
""",
        """
            current_input, current_name = handler_fn(
                state_def, current_input, ctx)
        _record_state(execution, f"{state_type}StateExited", entered_name, current_input)
""",
    ),
)
_MAP = (
    (
        """
            results[idx] = _run_sub_machine(
                iter_states, iter_start, item_input, execution, item_ctx)
        except Exception as exc:
            errors[idx] = exc
""",
        """
            _still_running()
            _record_iteration(execution, "Started", ctx, idx)
            results[idx] = _run_sub_machine(
                iter_states, iter_start, item_input, execution, item_ctx)
            _record_iteration(execution, "Succeeded", ctx, idx)
        except Exception as exc:
            errors[idx] = exc
            _record_iteration(execution, "Failed", ctx, idx)
            _end_branches()
""",
    ),
)
_PARALLEL = (
    (
        """
    effective = _apply_parameters(state_def, effective, ctx)
""",
        """
    effective = _apply_parameters(state_def, effective, ctx)
    is_jsonata = _state_query_language(state_def, ctx) == "JSONata"
    if is_jsonata:
        effective = _apply_jsonata_arguments(state_def, raw_input, ctx)
""",
    ),
    (
        """
            errors[idx] = exc
""",
        """
            errors[idx] = exc
            _end_branches()
""",
    ),
    (
        """
    result = _apply_result_selector(state_def, results)
""",
        """
    if is_jsonata:
        output = _apply_jsonata_output(state_def, raw_input, ctx, result=results, default=results)
        _apply_state_assign(state_def, raw_input, ctx, result=results)
        return output, _next_or_end(state_def)
    result = _apply_result_selector(state_def, results)
""",
    ),
)


def install() -> None:
    """Make branches behave and be recorded as on AWS."""
    edit(
        stepfunctions,
        "_run_sub_machine",
        *_SUB_MACHINE,
        _branch_context=_branch_context,
        _record_state=_record_state,
    )
    edit(
        stepfunctions,
        "_run_map_items",
        *_MAP,
        _record_iteration=_record_iteration,
        _end_branches=end_branches,
    )
    edit(stepfunctions, "_run_parallel_branches", *_PARALLEL)
    stepfunctions._run_map_items = _together(stepfunctions._run_map_items)
    stepfunctions._run_parallel_branches = _together(stepfunctions._run_parallel_branches)


def _together(run: Callable[..., object]) -> Callable[..., object]:
    def run_branches(state: State, raw_input: object, execution: Execution, context: Context) -> object:
        with branches():
            return run(state, raw_input, execution, context)

    return run_branches


def _branch_context(context: Context) -> Context:
    """Return the context of one branch: it sees the variables around it and keeps its own."""
    return {**context, "variables": dict(context["variables"])}


def _record_state(execution: Execution, event_type: str, name: str, data: object) -> None:
    kind, field = ("Entered", "input") if event_type.endswith("Entered") else ("Exited", "output")
    details = {f"state{kind}EventDetails": {"name": name, field: json.dumps(data)}}
    stepfunctions._add_event(execution, event_type, details)


def _record_iteration(execution: Execution, outcome: str, context: Context, index: int) -> None:
    details = {f"mapIteration{outcome}EventDetails": {"name": context["State"]["Name"], "index": index}}
    stepfunctions._add_event(execution, f"MapIteration{outcome}", details)
