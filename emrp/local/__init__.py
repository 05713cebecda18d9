"""AWS on this machine: ministack plus the EMR services that it lacks."""

ACCOUNT_ID = "000000000000"
REGION = "us-east-1"
DEFAULT_PORT = 4566
