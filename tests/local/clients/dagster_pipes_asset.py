"""A Dagster asset that a job run materializes through Dagster Pipes, as test_real_clients.py asks.

Runs in Dagster's own environment. Prints what the job reported, as JSON, on the last line.
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import boto3
import dagster_pipes
from dagster import AssetExecutionContext, MaterializeResult, asset, materialize
from dagster_aws.pipes import PipesEMRServerlessClient


def main(bucket: str, role: str, application: str, script: str) -> None:
    """Materialize the asset with a job run of a script."""
    boto3.client("s3").put_object(Bucket=bucket, Key="jobs/dagster_pipes.zip", Body=_package())

    def total(context: AssetExecutionContext, pipes: PipesEMRServerlessClient) -> MaterializeResult:
        return pipes.run(
            context=context,
            start_job_run_params={
                "applicationId": application,
                "executionRoleArn": role,
                "jobDriver": {
                    "sparkSubmit": {
                        "entryPoint": f"s3://{bucket}/jobs/{script}",
                        "sparkSubmitParameters": f"--py-files s3://{bucket}/jobs/dagster_pipes.zip",
                    }
                },
                "configurationOverrides": {
                    "monitoringConfiguration": {"cloudWatchLoggingConfiguration": {"enabled": True}}
                },
            },
        ).get_materialize_result()

    result = materialize([asset(total)], resources={"pipes": PipesEMRServerlessClient(poll_interval=1)})
    (materialization,) = result.asset_materializations_for_node("total")
    print()
    print(json.dumps({name: value.value for name, value in materialization.metadata.items()}))


def _package() -> bytes:
    """Pack dagster_pipes, which is one module, for the job."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(Path(dagster_pipes.__file__), "dagster_pipes/__init__.py")
    return package.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
