"""Step Functions: the states inside Map and Parallel.

ministack leaves them out of the execution history, lets parallel branches share one context (task token,
variables), and ignores JSONata on a Parallel state.
"""

import json
from typing import Any

from ministack.services import stepfunctions

from emrp.local.patches.anchors import edit

Context = dict[str, Any]
State = dict[str, Any]


def install() -> None:
    """Make branches behave and be recorded as on AWS."""
    edit(
        stepfunctions,
        "_run_sub_machine",
        (
            "    current_input = copy.deepcopy(input_data)\n",
            "    current_input = copy.deepcopy(input_data)\n    ctx = _branch_context(ctx)\n",
        ),
        ("while current_name:", "while current_name and _still_running():"),
        (
            '        if state_type == "Succeed":\n            return _apply_output_path(',
            (
                "        entered_name = current_name\n"
                '        _record_state(execution, f"{state_type}StateEntered", entered_name, current_input)\n'
                '        if state_type == "Succeed":\n            current_input = _apply_output_path('
            ),
        ),
        (
            "                                      _apply_input_path(state_def, current_input, ctx), ctx)\n",
            (
                "                                      _apply_input_path(state_def, current_input, ctx), ctx)\n"
                '            _record_state(execution, "SucceedStateExited", entered_name, current_input)\n'
                "            return current_input\n"
            ),
        ),
        (
            (
                "        else:\n            current_input, current_name = handler_fn(\n"
                "                state_def, current_input, ctx)\n"
            ),
            (
                "        else:\n            current_input, current_name = handler_fn(\n"
                "                state_def, current_input, ctx)\n"
                '        _record_state(execution, f"{state_type}StateExited", entered_name, current_input)\n'
            ),
        ),
        _branch_context=_branch_context,
        _record_state=_record_state,
    )
    edit(
        stepfunctions,
        "_run_map_items",
        (
            "            results[idx] = _run_sub_machine(\n",
            (
                '            _record_iteration(execution, "Started", ctx, idx)\n'
                "            results[idx] = _run_sub_machine(\n"
            ),
        ),
        (
            "iter_states, iter_start, item_input, execution, item_ctx)\n",
            (
                "iter_states, iter_start, item_input, execution, item_ctx)\n"
                '            _record_iteration(execution, "Succeeded", ctx, idx)\n'
            ),
        ),
        (
            "            errors[idx] = exc\n",
            '            errors[idx] = exc\n            _record_iteration(execution, "Failed", ctx, idx)\n',
        ),
        _record_iteration=_record_iteration,
    )
    edit(
        stepfunctions,
        "_run_parallel_branches",
        (
            "    effective = _apply_parameters(state_def, effective, ctx)\n",
            (
                "    effective = _apply_parameters(state_def, effective, ctx)\n"
                '    is_jsonata = _state_query_language(state_def, ctx) == "JSONata"\n'
                "    if is_jsonata:\n"
                "        effective = _apply_jsonata_arguments(state_def, raw_input, ctx)\n"
            ),
        ),
        (
            "    result = _apply_result_selector(state_def, results)\n",
            (
                "    if is_jsonata:\n"
                "        output = _apply_jsonata_output(state_def, raw_input, ctx, result=results, default=results)\n"
                "        _apply_state_assign(state_def, raw_input, ctx, result=results)\n"
                "        return output, _next_or_end(state_def)\n"
                "    result = _apply_result_selector(state_def, results)\n"
            ),
        ),
    )


def _branch_context(context: Context) -> Context:
    """Return the context of one branch: it sees the variables around it and keeps its own."""
    return {**context, "variables": dict(context["variables"])}


def _record_state(execution: dict[str, Any], event_type: str, name: str, data: object) -> None:
    kind, field = ("Entered", "input") if event_type.endswith("Entered") else ("Exited", "output")
    details = {f"state{kind}EventDetails": {"name": name, field: json.dumps(data)}}
    stepfunctions._add_event(execution, event_type, details)


def _record_iteration(execution: dict[str, Any], outcome: str, context: Context, index: int) -> None:
    details = {f"mapIteration{outcome}EventDetails": {"name": context["State"]["Name"], "index": index}}
    stepfunctions._add_event(execution, f"MapIteration{outcome}", details)
