"""Brings the application of a run to STARTED, one step for each event of it, and answers the run that waits.

A run whose pipeline has a cluster instead goes on in `launch_cluster`.
"""

import hashlib
import json

from emr_pipelines.cost import DEFAULT_ARCHITECTURE, find_prices, recorded, region_of
from emr_pipelines.errors import (
    ApplicationUnavailableError,
    RequestRefusedError,
    ResourceMissingError,
    RunTimedOutError,
    TransientError,
)
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.emr_serverless import EmrServerless, ObservedApplication
from emr_pipelines.gateways.job_gateways import EmrGateways
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.launch_cluster import launch_cluster
from emr_pipelines.run import Run
from emr_pipelines.run_slot import refusal_of_slot

_GONE = "TERMINATED"


def launch_application(
    run_id: str, task_token: str, gateways: EmrGateways, *, stacks: ClusterStacks, slots: RunSlots, own_prices: str = ""
) -> None:
    """Make sure that the run has an application and that it starts; the token is answered once it is STARTED.

    The same for its cluster, if it has one instead.

    A run that its pipeline's concurrency does not let in is answered with RunQueuedError or RunSkippedError.
    `own_prices` are those of the stack, if it has some.

    Raises ApplicationUnavailableError when it never will be, TransientError while job runs of an older configuration
    keep it from being updated, and RunTimedOutError once the run was to end. Idempotent: it looks at what is there and
    does what is missing.
    """
    run = gateways.record.get_run(run_id)
    if run is None:
        raise LookupError(f"There is no run {run_id}.")
    if run.is_late:
        raise RunTimedOutError(f"The run was to end by {run.deadline}.")
    refusal = refusal_of_slot(run, gateways.record, slots)
    if refusal:
        gateways.step_functions.send_failure(task_token, type(refusal), str(refusal))
        return
    if run.on_cluster:
        launch_cluster(run, task_token, gateways, stacks)
        return
    application = _observe_waiting(run, _ensure_application(run, gateways), task_token, gateways)
    if application.state == _GONE and run.lifecycle == "shared":
        gateways.record.stop_waiting(application.application_id, run_id)
        replacement = _create_shared(run, application.application_id, gateways)
        application = _observe_waiting(run, replacement, task_token, gateways)
    _note_prices(run, application, own_prices, gateways.record)
    advance_application(run_id, application, task_token, gateways)


def advance_application(run_id: str, application: ObservedApplication, task_token: str, gateways: EmrGateways) -> bool:
    """Take the next step towards a STARTED application for one run that waits for it.

    Return whether the application is about to change: then the other runs wait for what becomes of it.
    """
    application_id = application.application_id
    run = gateways.record.get_run(run_id)
    if run is None or run.ended:
        gateways.record.stop_waiting(application_id, run_id)
    elif application.state == _GONE:
        cause = f"Application {application_id} was deleted while the run waited for it. {application.details}"
        gateways.step_functions.send_failure(task_token, ApplicationUnavailableError, cause.strip())
        gateways.record.stop_waiting(application_id, run_id)
    elif application.state == "STARTED" and _is_current(run, application_id, gateways.record):
        gateways.step_functions.send_success(task_token, {"applicationId": application_id})
        gateways.record.stop_waiting(application_id, run_id)
    elif application.state == "STARTED":
        _stop_for_update(application, gateways.emr)
        return True
    elif application.state in {"CREATED", "STOPPED"}:
        if not _is_current(run, application_id, gateways.record):
            digest = _digest(run)
            gateways.emr.update_application(application_id, run.application, _token(application_id, digest, run_id))
            gateways.record.save_shared_application(run.pipeline, application_id, digest)
        gateways.emr.start_application(application_id)
        return True
    return False


def _note_prices(run: Run, application: ObservedApplication, own_prices: str, record: RunRecord) -> None:
    """Record what EMR takes for the run. An existing application has the architecture that somebody else gave it."""
    architecture = run.application.get("architecture", DEFAULT_ARCHITECTURE)
    if run.lifecycle == "existing":
        architecture = application.architecture
    prices = find_prices(region_of(run), architecture, own_prices)
    if prices and not run.prices:
        record.set_prices(run.run_id, recorded(prices))


def _ensure_application(run: Run, gateways: EmrGateways) -> str:
    """Return the id of the run's application, which is created unless one is recorded."""
    if run.lifecycle == "existing" and run.application_id:
        return run.application_id
    if run.lifecycle == "transient":
        return run.application_id or _create(run, gateways.emr, run.run_id)
    application_id, _ = gateways.record.get_shared_application(run.pipeline)
    return application_id or _create_shared(run, "first", gateways)


def _create_shared(run: Run, replaced: str, gateways: EmrGateways) -> str:
    # The token names the application that is replaced: runs that meet here at the same time create one, not two.
    created = _create(run, gateways.emr, run.pipeline, _digest(run), replaced)
    gateways.record.save_shared_application(run.pipeline, created, _digest(run))
    return created


def _observe_waiting(run: Run, application_id: str, task_token: str, gateways: EmrGateways) -> ObservedApplication:
    """Let a run wait for an application, and look at it: the only question to EMR, whose quota a burst must share."""
    gateways.record.set_application_id(run.run_id, application_id)
    gateways.record.wait_for_application(application_id, run.run_id, task_token)
    # Looking after the token is in place: an event that came before it has changed what is seen now.
    try:
        return gateways.emr.get_application(application_id)
    except ResourceMissingError as error:
        if run.lifecycle != "shared":
            raise
        return ObservedApplication(application_id, _GONE, str(error))


def _create(run: Run, emr: EmrServerless, *token_parts: str) -> str:
    try:
        return emr.create_application(run.application, _token(*token_parts))
    except RequestRefusedError as error:
        raise ApplicationUnavailableError(str(error)) from error


def _is_current(run: Run, application_id: str, record: RunRecord) -> bool:
    """Tell whether the application has the configuration of the run's pipeline file."""
    if run.lifecycle != "shared":
        return True
    return record.get_shared_application(run.pipeline) == (application_id, _digest(run))


def _stop_for_update(application: ObservedApplication, emr: EmrServerless) -> None:
    try:
        emr.stop_application(application.application_id)
    except RequestRefusedError as error:
        raise TransientError(f"The application cannot be updated while it has job runs: {error}") from error


def _digest(run: Run) -> str:
    return hashlib.sha256(json.dumps(run.application, sort_keys=True).encode()).hexdigest()[:16]


def _token(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
