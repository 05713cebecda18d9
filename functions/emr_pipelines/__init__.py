"""The domain of EMR Pipelines, used by the Lambda handlers and by the `emrp` command."""
