"""Every AWS error leaves the gateways as one of ours; the state machines decide by its name."""

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError, ReadTimeoutError
from emr_pipelines.domain_event import DomainEvent
from emr_pipelines.errors import RequestRefusedError, ResourceMissingError, TransientError
from emr_pipelines.gateways.aws import translated_errors
from emr_pipelines.gateways.domain_events import DomainEvents


def client_error(code: str, status: int = 400) -> ClientError:
    """Return the error that botocore raises for an answer of AWS."""
    return ClientError(
        {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "StartJobRun",
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("ThrottlingException", 429), TransientError),
        (client_error("ServiceQuotaExceededException", 402), TransientError),
        (client_error("TransactionConflictException"), TransientError),
        (client_error("Anything", 503), TransientError),
        (client_error("ValidationException"), RequestRefusedError),
        (client_error("ConflictException", 409), RequestRefusedError),
        (client_error("AccessDeniedException", 403), RequestRefusedError),
        (client_error("ResourceNotFoundException", 404), ResourceMissingError),
        (EndpointConnectionError(endpoint_url="http://x"), TransientError),
        (ReadTimeoutError(endpoint_url="http://x"), TransientError),
        (ParamValidationError(report="name"), RequestRefusedError),
    ],
)
def test_translated_errors_raises_ours_when_botocore_raises(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught, translated_errors():
        raise error
    assert type(caught.value) is expected


def test_request_refused_error_names_operation_code_and_reason() -> None:
    with (
        pytest.raises(RequestRefusedError, match=r"StartJobRun was refused \(ValidationException\): why"),
        translated_errors(),
    ):
        raise client_error("ValidationException")


def test_domain_event_says_of_which_stack_it_is_when_several_share_a_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = DomainEvents("emr-pipelines")
    entries: list[dict[str, str]] = []

    def put_events(**request: list[dict[str, str]]) -> dict[str, int]:
        entries.extend(request["Entries"])
        return {"FailedEntryCount": 0}

    monkeypatch.setattr(gateway, "_events", SimpleNamespace(put_events=put_events))

    gateway.publish(DomainEvent("Pipeline Run Failed", {"run": "salaries-1"}))

    assert json.loads(entries[0]["Detail"]) == {"stack": "emr-pipelines", "run": "salaries-1"}
