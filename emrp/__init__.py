"""The `emrp` command: pipelines, runs and the AWS on this machine."""
