"""The only modules that talk to AWS; every error that leaves them is one of `emr_pipelines.errors`."""
