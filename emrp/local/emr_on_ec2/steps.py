"""The operations on steps: every public method but `make` is one, named as AWS names it."""

from typing import Any

from ministack.services import emr

from emrp.local.emr_on_ec2.records import ACTIVE_STEP, Record, StepState, new_status, state_of
from emrp.local.emr_on_ec2.registry import Registry, page_of
from emrp.local.emr_serverless.errors import ApiError

Parameters = dict[str, Any]

MOST_ACTIVE_STEPS = 256


class StepOperations:
    """Steps are added, looked at and cancelled."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def make(self, cluster: Record, configurations: list[Parameters], role_arn: str | None) -> list[Record]:
        """Put new steps of a cluster behind those that it has."""
        made = []
        for configuration in configurations:
            step = emr._make_step(configuration)
            step["Status"] = new_status(StepState.PENDING)
            if role_arn:
                step["ExecutionRoleArn"] = role_arn
            made.append(step)
        emr._steps.setdefault(cluster["Id"], []).extend(made)
        return made

    def add_job_flow_steps(self, parameters: Parameters) -> Parameters:
        """Add steps to a cluster; they run when it is their turn."""
        live = self._registry.modifiable(parameters["JobFlowId"])
        configurations: list[Parameters] = parameters["Steps"]
        active = sum(state_of(step) in ACTIVE_STEP for step in live.steps)
        if active + len(configurations) > MOST_ACTIVE_STEPS:
            raise ApiError(
                "ValidationException",
                "Maximum number of active steps(State = 'Running', 'Pending' or 'Cancel_Pending') "
                "for cluster exceeded.",
            )
        for configuration in configurations:
            action = configuration.get("ActionOnFailure", "CONTINUE")
            if live.cluster["StepConcurrencyLevel"] > 1 and action != "CONTINUE":
                message = f"ActionOnFailure {action} is not valid for a cluster with a StepConcurrencyLevel above 1."
                raise ApiError("ValidationException", message)
        steps = self.make(live.cluster, configurations, parameters.get("ExecutionRoleArn"))
        for step in steps:
            live.step_added(step)
        live.advance()
        return {"StepIds": [step["Id"] for step in steps]}

    def describe_step(self, parameters: Parameters) -> Parameters:
        """Return a step."""
        return {"Step": self._registry.find_step(parameters["ClusterId"], parameters["StepId"])}

    def list_steps(self, parameters: Parameters) -> Parameters:
        """Return the steps of a cluster, the newest first."""
        steps = self._registry.find(parameters["ClusterId"]).steps
        states, ids = parameters.get("StepStates", []), parameters.get("StepIds", [])
        chosen = [
            step
            for step in reversed(steps)
            if (not states or state_of(step) in states) and (not ids or step["Id"] in ids)
        ]
        page, marker = page_of(chosen, parameters.get("Marker"))
        return {"Steps": page, "Marker": marker}

    def cancel_steps(self, parameters: Parameters) -> Parameters:
        """Cancel steps that wait or run; says for each whether that was possible."""
        live = self._registry.find(parameters["ClusterId"])
        gently = parameters.get("StepCancellationOption", "SEND_INTERRUPT") == "SEND_INTERRUPT"
        answers = []
        for step_id in parameters["StepIds"]:
            step = self._registry.find_step(parameters["ClusterId"], step_id)
            state = state_of(step)
            if state in {StepState.PENDING, StepState.RUNNING}:
                live.cancel(step, gently=gently)
                answers.append({"StepId": step_id, "Status": "SUBMITTED"})
            else:
                reason = f"Cancelling step {step_id} is not possible in state {state}."
                answers.append({"StepId": step_id, "Status": "FAILED", "Reason": reason})
        return {"CancelStepsInfoList": answers}
