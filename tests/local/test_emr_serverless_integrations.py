"""Step Functions and CloudFormation with the local EMR Serverless."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.local.conftest import LocalAwsUnderTest

ROLE = "arn:aws:iam::000000000000:role/job"
API = "arn:aws:states:::emr-serverless:"
LONG = 90.0


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAwsUnderTest) -> str:
    """A bucket with the scripts of these tests."""
    name = "emr-serverless-integrations"
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="process_ds_salaries.py", Body="print('done')\n")
    s3.put_object(Bucket=name, Key="sleep.py", Body="import time\ntime.sleep(600)\n")
    return name


def task(api: str, parameters: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": API + api, "Parameters": parameters, **fields}


def machine(**states: dict[str, Any]) -> dict[str, Any]:
    return {"QueryLanguage": "JSONPath", "StartAt": next(iter(states)), "States": states}


def start_job_run(application: str, script: str) -> dict[str, Any]:
    return {
        "ApplicationId": application,
        "ExecutionRoleArn": ROLE,
        "JobDriver": {"SparkSubmit": {"EntryPoint": script}},
    }


@pytest.fixture
def application(local_aws: LocalAwsUnderTest, unique: Callable[[str], str]) -> str:
    emr = local_aws.client("emr-serverless")
    created = emr.create_application(name=unique("app"), releaseLabel="emr-7.9.0", type="SPARK")
    application_id: str = created["applicationId"]
    return application_id


def ended(local_aws: LocalAwsUnderTest, execution: str, eventually: Callable[..., Any]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        described: dict[str, Any] = local_aws.client("stepfunctions").describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    description: dict[str, Any] = eventually(look, LONG)
    return description


@pytest.mark.spark
def test_machine_of_the_article_succeeds_when_its_placeholders_are_filled(
    local_aws: LocalAwsUnderTest, bucket: str, eventually: Callable[..., Any]
) -> None:
    factory = "com.amazonaws.services.emrserverless.hadoop.HiveMetastoreClientFactory"
    submit = {
        "EntryPoint": f"s3://{bucket}/process_ds_salaries.py",
        "EntryPointArguments": [],
        "SparkSubmitParameters": f"--conf spark.hadoop.hive.metastore.client.factory.class={factory}",
    }
    on_application = {"ApplicationId.$": "$.emr.ApplicationId"}
    states = {
        "EMR Serverless CreateApplication": task(
            "createApplication.sync",
            {"Name": "EMR-Serverless-Demo-01", "ReleaseLabel": "emr-7.0.0", "Type": "SPARK"},
            ResultPath="$.emr",
            Next="EMR Serverless StartApplication",
        ),
        "EMR Serverless StartApplication": task(
            "startApplication.sync", on_application, ResultPath=None, Next="EMR Serverless StartJobRun"
        ),
        "EMR Serverless StartJobRun": task(
            "startJobRun.sync",
            on_application
            | {"Name": "PySpark Job Run", "ExecutionRoleArn": ROLE, "JobDriver": {"SparkSubmit": submit}},
            ResultPath=None,
            Next="EMR Serverless StopApplication",
        ),
        "EMR Serverless StopApplication": task("stopApplication.sync", on_application, ResultPath=None, End=True),
    }
    execution = local_aws.start_execution(machine(**states))
    described = ended(local_aws, execution, eventually)
    assert described["status"] == "SUCCEEDED", described.get("cause")
    application = json.loads(described["output"])["emr"]["ApplicationId"]
    emr = local_aws.client("emr-serverless")
    assert emr.get_application(applicationId=application)["application"]["state"] == "STOPPED"


@pytest.mark.spark
def test_task_fails_with_the_job_run_when_the_job_fails(
    local_aws: LocalAwsUnderTest, bucket: str, application: str, eventually: Callable[..., Any]
) -> None:
    states = {"Run": task("startJobRun.sync", start_job_run(application, f"s3://{bucket}/missing.py"), End=True)}
    described = ended(local_aws, local_aws.start_execution(machine(**states)), eventually)
    assert (described["status"], described["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(described["cause"])
    assert cause["State"] == "FAILED"
    assert cause["ApplicationId"] == application
    assert "missing.py" in cause["StateDetails"]


@pytest.mark.spark
def test_job_run_is_cancelled_when_the_execution_of_its_task_is_stopped(
    local_aws: LocalAwsUnderTest, bucket: str, application: str
) -> None:
    states = {"Run": task("startJobRun.sync", start_job_run(application, f"s3://{bucket}/sleep.py"), End=True)}
    execution = local_aws.start_execution(machine(**states))
    assert state_of_job(local_aws, application, "RUNNING")
    local_aws.client("stepfunctions").stop_execution(executionArn=execution)
    assert state_of_job(local_aws, application, "CANCELLED")


@pytest.mark.spark
def test_job_run_is_cancelled_when_its_task_runs_into_its_timeout(
    local_aws: LocalAwsUnderTest, bucket: str, application: str, eventually: Callable[..., Any]
) -> None:
    run = task("startJobRun.sync", start_job_run(application, f"s3://{bucket}/sleep.py"), TimeoutSeconds=1, End=True)
    described = ended(local_aws, local_aws.start_execution(machine(Run=run)), eventually)
    assert described["error"] == "States.Timeout"
    assert state_of_job(local_aws, application, "CANCELLED")


def state_of_job(local_aws: LocalAwsUnderTest, application: str, wanted: str) -> bool:
    """Wait until the only job run of an application is in a state."""
    emr = local_aws.client("emr-serverless")
    job_run = emr.list_job_runs(applicationId=application)["jobRuns"][0]["id"] if wanted != "RUNNING" else ""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        if not job_run:
            job_run = next((found["id"] for found in emr.list_job_runs(applicationId=application)["jobRuns"]), "")
        elif emr.get_job_run(applicationId=application, jobRunId=job_run)["jobRun"]["state"] == wanted:
            return True
        time.sleep(0.2)  # within the API quotas
    return False


def test_answer_is_returned_at_once_when_the_task_is_request_response(
    local_aws: LocalAwsUnderTest, application: str
) -> None:
    states = {
        "Start": task("startApplication.sync", {"ApplicationId": application}, Next="Submit", ResultPath="$.start"),
        "Submit": task(
            "startJobRun", start_job_run(application, "s3://none/none.py"), Next="Cancel", ResultPath="$.run"
        ),
        "Cancel": task(
            "cancelJobRun.sync",
            {"ApplicationId": application, "JobRunId.$": "$.run.JobRunId"},
            Next="Stop",
            ResultPath="$.cancel",
        ),
        "Stop": task("stopApplication", {"ApplicationId": application}, ResultPath="$.stop", End=True),
    }
    described = local_aws.run(machine(**states))
    assert described["status"] == "SUCCEEDED", described.get("cause")
    output = json.loads(described["output"])
    assert output["start"] == output["stop"] == {"ApplicationId": application}
    assert set(output["run"]) == {"ApplicationId", "JobRunId", "Arn"}
    assert output["cancel"]["State"] == "CANCELLED"


def test_application_comes_and_goes_when_the_examples_of_the_integration_page_run(local_aws: LocalAwsUnderTest) -> None:
    on_application = {"ApplicationId.$": "$.ApplicationId"}
    states = {
        "Create_Application": task(
            "createApplication.sync",
            {"Name": "MyApplication", "ReleaseLabel": "emr-6.9.0", "Type": "SPARK"},
            Next="Start_Application",
        ),
        "Start_Application": task("startApplication.sync", on_application, Next="Stop_Application"),
        "Stop_Application": task("stopApplication.sync", on_application, Next="Delete_Application"),
        "Delete_Application": task("deleteApplication.sync", on_application, End=True),
    }
    described = local_aws.run(machine(**states))

    assert described["status"] == "SUCCEEDED", described.get("cause")
    application = json.loads(described["output"])["ApplicationId"]
    emr = local_aws.client("emr-serverless")
    assert emr.get_application(applicationId=application)["application"]["state"] == "TERMINATED"


@pytest.mark.parametrize(
    ("api", "parameters", "error", "cause"),
    [
        ("startApplication", {"ApplicationId": "00none"}, "EMRServerless.ResourceNotFoundException", "does not exist"),
        ("createApplication", {"Nome": "x"}, "States.Runtime", "The field Nome is not supported"),
        ("openApplication", {}, "States.Runtime", "is not supported by Step Functions"),
    ],
)
def test_task_fails_when_the_request_is_wrong(
    local_aws: LocalAwsUnderTest, api: str, parameters: dict[str, Any], error: str, cause: str
) -> None:
    described = local_aws.run(machine(Call=task(api, parameters, End=True)))
    assert described["error"] == error
    assert cause in described["cause"]


def template(**properties: Any) -> str:
    resource = {
        "Type": "AWS::EMRServerless::Application",
        "Properties": {
            "Type": "SPARK",
            "ReleaseLabel": "emr-7.9.0",
            "InitialCapacity": [
                {
                    "Key": "Driver",
                    "Value": {"WorkerCount": "1", "WorkerConfiguration": {"Cpu": "2 vCPU", "Memory": "4 GB"}},
                }
            ],
            "Tags": [{"Key": "team", "Value": "data"}],
            **properties,
        },
    }
    outputs = {
        "Id": {"Value": {"Ref": "Application"}},
        "Arn": {"Value": {"Fn::GetAtt": ["Application", "Arn"]}},
        "ApplicationId": {"Value": {"Fn::GetAtt": ["Application", "ApplicationId"]}},
    }
    return json.dumps({"Resources": {"Application": resource}, "Outputs": outputs})


def test_stack_has_an_application_when_its_template_names_one(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    cloudformation, emr = local_aws.client("cloudformation"), local_aws.client("emr-serverless")
    stack, name = unique("stack"), unique("app")
    waiting = {"Delay": 1, "MaxAttempts": 30}

    cloudformation.create_stack(StackName=stack, TemplateBody=template(Name=name))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=waiting)
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    application = emr.get_application(applicationId=outputs["Id"])["application"]
    assert outputs == {"Id": application["applicationId"], "ApplicationId": outputs["Id"], "Arn": application["arn"]}
    assert application["name"] == name
    assert application["initialCapacity"]["Driver"]["workerCount"] == 1
    assert application["tags"]["team"] == "data"

    changed = template(Name=name, Architecture="ARM64", AutoStopConfiguration={"Enabled": "false"})
    cloudformation.update_stack(StackName=stack, TemplateBody=changed)
    cloudformation.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig=waiting)
    updated = emr.get_application(applicationId=outputs["Id"])["application"]
    assert (updated["architecture"], updated["autoStopConfiguration"]["enabled"]) == ("ARM64", False)

    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=waiting)
    assert emr.get_application(applicationId=outputs["Id"])["application"]["state"] == "TERMINATED"
