"""Clients and the translation of botocore's errors into ours, shared by all gateways."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError

from emr_pipelines.errors import RequestRefusedError, ResourceMissingError, TransientError

# The state machines retry with long backoff; in here two quick attempts bridge a dropped connection.
CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
# For what nobody waits for and nobody would retry: slows down by itself when AWS throttles.
PATIENT = Config(connect_timeout=5, read_timeout=20, retries={"mode": "adaptive", "total_max_attempts": 10})

# Of what EventBridge and its scheduler cannot deliver to the trigger queue; then it is a dead letter.
TARGET_RETRY_POLICY = {"MaximumEventAgeInSeconds": 21_600, "MaximumRetryAttempts": 20}

_TRANSIENT_CODES = frozenset(
    {
        "InternalServerException",
        "InternalServerError",
        "InternalFailure",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceQuotaExceededException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_MISSING_CODES = frozenset(
    {"ResourceNotFoundException", "NotFound", "NoSuchKey", "NoSuchBucket", "404", "ExecutionDoesNotExist"}
)


@cache
def client(service: str, config: Config = CONFIG) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    """Return the one client of `service` in this process; where it points is for the environment to say."""
    return boto3.client(service, config=config)  # type: ignore[call-overload]


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what botocore raises into `TransientError`, `ResourceMissingError` or `RequestRefusedError`.

    A request that botocore itself finds invalid is a `RequestRefusedError` too.
    """
    try:
        yield
    except ClientError as error:
        raise _translated(error) from error
    except ParamValidationError as error:
        raise RequestRefusedError("The request", "ParamValidation", str(error)) from error
    except (HTTPClientError, BotoCoreError) as error:
        raise TransientError(str(error)) from error


def _translated(error: ClientError) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _TRANSIENT_CODES or status >= 500:  # noqa: PLR2004 - HTTP's server errors
        return TransientError(f"{error.operation_name}: {code}: {message}")
    kind = ResourceMissingError if code in _MISSING_CODES else RequestRefusedError
    return kind(error.operation_name, code, message)
