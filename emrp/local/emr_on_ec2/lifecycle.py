"""A cluster that lives: it starts, runs steps as many at a time as it may, waits or ends when there are none left.

    STARTING -> BOOTSTRAPPING -> RUNNING <-> WAITING -> TERMINATING -> TERMINATED or TERMINATED_WITH_ERRORS

Holds what belongs to a living cluster (the steps under way, its timer) next to the records that the API shows.
"""

import asyncio
import logging
import shutil

from emrp.local.emr_on_ec2.bootstrap import BootstrapFailure, run_bootstrap_actions
from emrp.local.emr_on_ec2.execution import StepExecution, Surroundings
from emrp.local.emr_on_ec2.records import (
    ENDING,
    ERRORS,
    READY,
    ClusterState,
    Record,
    StepState,
    move_cluster,
    move_step,
    state_of,
)

_TERMINATING_ACTIONS = {"TERMINATE_CLUSTER", "TERMINATE_JOB_FLOW"}
_ENDED_WITH_ITS_SERVER = "The local AWS ended while the step was under way."

_C = ClusterState

log = logging.getLogger(__name__)


class LiveCluster:
    """A cluster and its steps, which may be added to from outside."""

    def __init__(self, cluster: Record, steps: list[Record], surroundings: Surroundings) -> None:
        self.cluster = cluster
        self.steps = steps
        self._around = surroundings
        self._executions: dict[str, StepExecution] = {}
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._has_run = False

    @property
    def state(self) -> str:
        """The state of the cluster."""
        return state_of(self.cluster)

    def start(self) -> None:
        """Let a new cluster come up."""
        self._around.events.cluster_changed(self.cluster)
        for step in self.steps:
            self._around.events.step_changed(self.cluster, step)
        self._task = asyncio.create_task(self._come_up(), name=f"cluster {self.cluster['Id']}")

    def resume(self) -> None:
        """Go on with a cluster of an earlier server; what it was running has failed."""
        interrupted = [step for step in self.steps if state_of(step) in {StepState.RUNNING, StepState.CANCEL_PENDING}]
        for step in interrupted:
            cancelled = state_of(step) == StepState.CANCEL_PENDING
            self._move_step(step, StepState.CANCELLED if cancelled else StepState.FAILED, _ENDED_WITH_ITS_SERVER)
        if self.state == _C.TERMINATING:
            self._task = asyncio.create_task(self._end())
        elif self.state not in READY:
            self._task = asyncio.create_task(self._come_up())
        else:
            for step in interrupted:
                self._react_to_failure(step)
            self.advance()

    def step_added(self, step: Record) -> None:
        """Take a step that was added to the steps."""
        self._around.events.step_changed(self.cluster, step)

    def advance(self) -> None:
        """Start the steps that may run, and enter the state that follows when there are none."""
        self._keep_awake()
        if self.state not in READY:
            return
        pending = [step for step in self.steps if self._is_waiting(step)]
        for step in pending[: max(0, self.cluster["StepConcurrencyLevel"] - len(self._executions))]:
            self._has_run = True
            self._executions[step["Id"]] = StepExecution(self.cluster, step, self._around, self._step_ended)
        if self._executions:
            self._enter(_C.RUNNING, "Running step")
        elif self.cluster["AutoTerminate"]:
            failed = any(state_of(step) == StepState.FAILED for step in self.steps)
            self.terminate("ALL_STEPS_COMPLETED", f"Steps completed{' with errors' if failed else ''}")
        else:
            self._wait()

    def cancel(self, step: Record, *, gently: bool) -> None:
        """Cancel a step that waits or runs."""
        if execution := self._executions.get(step["Id"]):
            execution.cancel(gently=gently)
        else:
            self._move_step(step, StepState.CANCELLED, "Cancelled by user")
            self.advance()

    def terminate(self, code: str, message: str) -> None:
        """Shut the cluster down, unless it is on its way there."""
        if self.state in ENDING:
            return
        self._keep_awake()
        if self._task is not None:
            self._task.cancel()
        self._move(_C.TERMINATING, code, message)
        self._task = asyncio.create_task(self._end())

    def policy_changed(self) -> None:
        """Apply an auto-termination policy that may have changed."""
        if self.state == _C.WAITING:
            self._start_idle_timer()

    async def shut_down(self) -> None:
        """End everything of the cluster because the server ends; the records stay as they are."""
        self._keep_awake()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await asyncio.gather(*(execution.abandon() for execution in self._executions.values()))

    async def _come_up(self) -> None:
        if self.state == _C.STARTING:
            self._move(_C.BOOTSTRAPPING)
        try:
            await run_bootstrap_actions(self.cluster, self._around)
        except BootstrapFailure as failure:
            self._fail("BOOTSTRAP_FAILURE", str(failure))
            return
        except Exception as error:
            log.exception("Cluster %s did not come up", self.cluster["Id"])
            self._fail("INTERNAL_ERROR", f"Internal error of the local service: {error}")
            return
        self._task = None
        has_steps = any(self._is_waiting(step) for step in self.steps)
        if has_steps or self.cluster["AutoTerminate"]:
            self._move(_C.RUNNING, message="Running step")
        else:
            self._move(_C.WAITING, message="Cluster ready to run steps.")
        self.advance()

    def _fail(self, code: str, message: str) -> None:
        self._task = None  # which ends by itself
        self.terminate(code, message)

    def _is_waiting(self, step: Record) -> bool:
        return state_of(step) == StepState.PENDING and step["Id"] not in self._executions

    def _step_ended(self, execution: StepExecution) -> None:
        del self._executions[execution.step["Id"]]
        if self.state in ENDING:
            return
        self._react_to_failure(execution.step)
        self.advance()

    def _react_to_failure(self, step: Record) -> None:
        """Do what a failed step asks for; with several steps at a time nothing, as on EMR."""
        action = step["ActionOnFailure"]
        if state_of(step) != StepState.FAILED or action == "CONTINUE" or self.cluster["StepConcurrencyLevel"] > 1:
            return
        if action in _TERMINATING_ACTIONS and not self.cluster["TerminationProtected"]:
            self.terminate("STEP_FAILURE", "Shut down as step failed")
            return
        self._cancel_waiting_steps()
        if action in _TERMINATING_ACTIONS and self.cluster["AutoTerminate"]:
            self.cluster["AutoTerminate"] = False  # protected: what is on it can still be looked at

    def _cancel_waiting_steps(self) -> None:
        for step in self.steps:
            if self._is_waiting(step):
                self._move_step(step, StepState.CANCELLED, "Job terminated")

    async def _end(self) -> None:
        self._cancel_waiting_steps()
        await asyncio.gather(*(execution.interrupt() for execution in list(self._executions.values())))
        await asyncio.to_thread(shutil.rmtree, self._around.work_dir / self.cluster["Id"], ignore_errors=True)
        reason = self.cluster["Status"]["StateChangeReason"]
        failed = reason.get("Code") in ERRORS
        self._move(
            _C.TERMINATED_WITH_ERRORS if failed else _C.TERMINATED, reason.get("Code", ""), reason.get("Message", "")
        )

    def _wait(self) -> None:
        self._enter(_C.WAITING, f"Cluster ready {'after last step completed' if self._has_run else 'to run steps'}.")
        self._start_idle_timer()

    def _start_idle_timer(self) -> None:
        self._keep_awake()
        seconds = self.cluster.get("AutoTerminationPolicy", {}).get("IdleTimeout")
        if seconds is None:
            return
        delay = seconds * self._around.seconds_per_idle_second
        self._idle = asyncio.get_running_loop().call_later(delay, self._terminate_idle, seconds)

    def _terminate_idle(self, seconds: int) -> None:
        if not self.cluster["TerminationProtected"]:
            self.terminate("USER_REQUEST", f"Auto-terminated after {seconds} idle seconds")

    def _keep_awake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _enter(self, state: ClusterState, message: str) -> None:
        if self.state != state:
            self._move(state, message=message)

    def _move(self, state: ClusterState, code: str = "", message: str = "") -> None:
        move_cluster(self.cluster, state, code, message)
        self._around.events.cluster_changed(self.cluster)

    def _move_step(self, step: Record, state: StepState, message: str) -> None:
        move_step(step, state, message)
        self._around.events.step_changed(self.cluster, step)
