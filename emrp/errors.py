"""What the command line says instead of a traceback, and the exit codes that scripts may rely on."""

EXIT_RUN_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3


class CommandError(Exception):
    """The command cannot do its work; the message is a sentence that says why and what to do."""

    exit_code = EXIT_ENVIRONMENT


class RunFailedError(CommandError):
    """The run did not succeed, or its result is not what it should be."""

    exit_code = EXIT_RUN_FAILED


class UsageError(CommandError):
    """The arguments do not fit together or name something that does not exist."""

    exit_code = EXIT_USAGE
