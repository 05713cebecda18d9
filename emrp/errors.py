"""What the command line says instead of a traceback, and the exit codes that scripts may rely on."""

from collections.abc import Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

EXIT_RUN_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130


class CommandError(Exception):
    """The command cannot do its work; the message is a sentence that says why and what to do."""

    exit_code = EXIT_ENVIRONMENT


class RunFailedError(CommandError):
    """The run did not succeed, or its result is not what it should be."""

    exit_code = EXIT_RUN_FAILED


class PipelineFileError(CommandError):
    """Pipeline files have problems, found here or when they were registered; `results` say so as `validate --json`."""

    exit_code = EXIT_RUN_FAILED

    def __init__(self, message: str, results: Sequence[Mapping[str, object]]) -> None:
        super().__init__(message)
        self.results = results


class UsageError(CommandError):
    """The arguments do not fit together or name something that does not exist."""

    exit_code = EXIT_USAGE


_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"})
_HINTS: dict[type[Exception], str] = {
    NoRegionError: "Name a region with --region or AWS_REGION, or use --local",
    NoCredentialsError: "Log in, or name a profile with --profile, or use --local",
    EndpointConnectionError: "AWS cannot be reached: check the network and AWS_ENDPOINT_URL",
}


def sentence(error: Exception) -> str:
    """Say what went wrong and what to do: of AWS's errors, which do not tell the latter, a little more."""
    if isinstance(error, ClientError) and error.response["Error"]["Code"] in _EXPIRED:
        return f"Log in again, the credentials are not valid any more: {error}"
    if isinstance(error, BotoCoreError | ClientError):
        return f"{_HINTS.get(type(error), 'AWS cannot be used')}: {error}"
    return str(error)
