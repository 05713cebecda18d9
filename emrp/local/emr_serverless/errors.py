"""What the services of EMR answer when they refuse a request."""

_STATUS = {
    "ValidationException": 400,
    "InvalidRequestException": 400,
    "InvalidAction": 400,
    "SerializationException": 400,
    "ServiceQuotaExceededException": 402,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ConflictException": 409,
    "ThrottlingException": 429,
}


class ApiError(Exception):
    """An answer that is an error, with the code by which SDKs tell errors apart."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = _STATUS[code]
