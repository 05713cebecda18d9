"""What is ours in a pipeline file, as pydantic models; what is AWS's in it is left to botocore's service model."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic.alias_generators import to_camel

from emr_pipelines.run import NOTIFIED
from emr_pipelines.schedule_expression import parse

# Uploads below these never start a run, so that what runs write cannot start runs.
NOT_WATCHED = ("jobs/", "logs/", "output/", "pipelines/")
_YEAR_MINUTES = 500_000  # a little less than an execution of Step Functions may last


# One or more of them, with dots in between, are either side of an address (RFC 5322's dot-atom).
_ATOM = r'[^\s.@()<>\[\]:;,\\"]+'


def _email_address(text: str) -> str:
    if not re.fullmatch(rf"{_ATOM}(\.{_ATOM})*@{_ATOM}(\.{_ATOM})+", text):
        raise ValueError("is no e-mail address")
    return text


_NAME, _IDENTIFIER, _TOPIC = "^[a-z][a-z0-9-]{0,47}$", "^[A-Za-z_][A-Za-z0-9_]{0,63}$", "^[A-Za-z0-9_-]{1,256}$"
# What somebody is told whose text does not match.
IN_WORDS = {
    _NAME: 'must be a small letter, then up to 47 small letters, digits and "-"',
    _IDENTIFIER: 'must be a letter or "_", then up to 63 letters, digits and "_"',
    _TOPIC: 'must be up to 256 letters, digits, "-" and "_"',
}
Name = Annotated[str, Field(pattern=_NAME)]
Identifier = Annotated[str, Field(pattern=_IDENTIFIER)]
EmailAddress = Annotated[str, Field(max_length=320), AfterValidator(_email_address)]
TopicName = Annotated[str, Field(pattern=_TOPIC)]
Occasion = Literal["STARTED", "RETRIED", "OVERDUE", "SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "SKIPPED"]
RunIf = Literal["ALL_SUCCESS", "ALL_DONE", "AT_LEAST_ONE_SUCCESS", "ANY_FAILED"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel, defer_build=True)


def _watched(prefix: str) -> str:
    if prefix.startswith(("s3://", "/")):
        raise ValueError("is a prefix of keys in the bucket of the stack, like landing/sales/")
    if prefix.startswith(NOT_WATCHED):
        raise ValueError(f"never starts a run: uploads below {', '.join(NOT_WATCHED)} are not watched")
    return prefix


def _is_pattern(pattern: dict[str, Any]) -> dict[str, Any]:
    for name, value in pattern.items():
        if isinstance(value, dict):
            _is_pattern(value)
        elif not isinstance(value, list) or not value:
            raise ValueError(f'"{name}" must be a list of what matches (or a mapping), as in source: [aws.s3]')
    return pattern


class Batch(_Model):
    """Several uploads start one run, with a manifest of them."""

    max_files: int = Field(default=100, ge=1, le=1000)
    max_wait_seconds: int = Field(default=60, ge=1, le=900)


class UploadTrigger(_Model):
    """Each object that is created below a prefix starts a run."""

    prefix: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_watched)]
    suffix: str = ""
    batch: Batch | None = None


class ScheduleTrigger(_Model):
    """A run at the times of a cron(), rate() or at() expression of EventBridge Scheduler."""

    expression: str
    timezone: str = "UTC"
    parameters: dict[str, Any] = {}
    enabled: bool = True

    @model_validator(mode="after")
    def _check_expression(self) -> Self:
        parse(self.expression, self.timezone)
        return self


class EventTrigger(_Model):
    """A run for each event on the default event bus that matches a pattern of EventBridge."""

    pattern: Annotated[dict[str, Any], Field(min_length=1), AfterValidator(_is_pattern)]
    parameters: dict[str, Any] = {}


class Triggers(_Model):
    """What starts a run of the pipeline, besides a person."""

    uploads: list[UploadTrigger] = []
    schedules: list[ScheduleTrigger] = []
    messages: bool = Field(default=False, description="Whether messages on the trigger topic may start runs.")
    events: list[EventTrigger] = []


class ParameterDeclaration(_Model):
    """A parameter with a type; without a default, every run must be given a value."""

    type: Literal["string", "integer", "number", "boolean", "date", "list", "object"]
    default: Any = None
    allowed_values: Annotated[list[Any] | None, Field(min_length=1)] = None
    description: str | None = None


def _kind_of_parameter(value: object) -> str:
    return "(declaration)" if isinstance(value, (Mapping, ParameterDeclaration)) else "(default)"


Parameter = Annotated[
    Annotated[ParameterDeclaration, Tag("(declaration)")]
    | Annotated[str | int | float | bool | list[Any] | None, Tag("(default)")],
    Discriminator(_kind_of_parameter),
]


class Application(_Model):
    """The fields of EMR Serverless CreateApplication, plus how long the application lives."""

    model_config = ConfigDict(extra="allow")

    lifecycle: Literal["shared", "transient", "existing"] = "shared"
    application_id: str | None = None

    @model_validator(mode="after")
    def _check_lifecycle(self) -> Self:
        if self.lifecycle == "existing":
            if not self.application_id:
                raise ValueError('lifecycle "existing" needs applicationId')
            if self.model_extra:
                raise ValueError(f'lifecycle "existing" takes no {", ".join(self.model_extra)}')
        elif self.application_id:
            raise ValueError(f'applicationId goes with lifecycle "existing", not "{self.lifecycle}"')
        return self


class Cluster(_Model):
    """The fields of EMR RunJobFlow, or a CloudFormation template with a cluster, plus how long the cluster lives."""

    model_config = ConfigDict(extra="allow")

    lifecycle: Literal["transient", "existing"] = "transient"
    cluster_id: str | None = None
    template: str | None = Field(default=None, description="The s3:// address of a CloudFormation template.")
    parameters: dict[str, Any] | str | None = Field(
        default=None, description="Those of the template, or the s3:// address of a JSON file with them."
    )

    @model_validator(mode="after")
    def _check_lifecycle(self) -> Self:
        others = [*(self.model_extra or {}), *(name for name in ("template", "parameters") if getattr(self, name))]
        if self.lifecycle == "existing":
            if not self.cluster_id:
                raise ValueError('lifecycle "existing" needs clusterId')
            if others:
                raise ValueError(f'lifecycle "existing" takes no {", ".join(others)}')
        elif self.cluster_id:
            raise ValueError(f'clusterId goes with lifecycle "existing", not "{self.lifecycle}"')
        elif self.template and self.model_extra:
            raise ValueError(f"template takes no {', '.join(self.model_extra)}: the cluster is what the template says")
        elif self.parameters and not self.template:
            raise ValueError("parameters goes with template")
        return self


class GroupedJob(_Model):
    """The fields of EMR Serverless StartJobRun or a step of a cluster, plus what the job depends on in its group."""

    model_config = ConfigDict(extra="allow")

    name: Name
    depends_on: list[str] = []
    run_if: RunIf = "ALL_SUCCESS"
    step: dict[str, Any] | None = Field(default=None, description="The fields of StepConfig; of a job on a cluster.")
    resize: dict[str, Any] | None = Field(
        default=None,
        description="instanceFleet or instanceGroup, its name, and the fields of its modification; instead of a step.",
    )
    timeout_minutes: int | None = Field(
        default=None,
        ge=1,
        le=_YEAR_MINUTES,
        description="How long a step may run.",
    )


ForEach = Annotated[
    dict[Identifier, list[Any] | str],
    Field(min_length=1, max_length=1, description="One variable, and its values or a template that gives them."),
]


class Job(GroupedJob):
    """The fields of GroupedJob, plus what the job is repeated for."""

    for_each: ForEach | None = None
    max_concurrency: int = Field(default=1, ge=1, description="How many iterations run at the same time.")

    @model_validator(mode="after")
    def _check_loop(self) -> Self:
        if self.for_each is None and self.max_concurrency != 1:
            raise ValueError("maxConcurrency goes with forEach")
        return self


class Group(_Model):
    """Jobs that are repeated together."""

    name: Name
    depends_on: list[str] = []
    run_if: RunIf = "ALL_SUCCESS"
    for_each: ForEach
    max_concurrency: int = Field(default=1, ge=1, description="How many iterations run at the same time.")
    jobs: list[GroupedJob] = Field(min_length=1)


def _kind_of_job(value: object) -> str:
    is_group = isinstance(value, Group) or (isinstance(value, Mapping) and "jobs" in value)
    return "(group)" if is_group else "(job)"


class Concurrency(_Model):
    """How many runs of the pipeline there may be at the same time, and what happens to the others."""

    limit: int = Field(ge=1)
    policy: Literal["queue", "skip", "cancelOldest"] = "queue"


class Notifications(_Model):
    """What people are told about the runs of the pipeline, and who besides those that hear of all pipelines."""

    on: list[Occasion] = [*cast(tuple[Occasion, ...], NOTIFIED)]
    email: list[EmailAddress] = Field(default=[], description="Addresses; AWS asks each for a confirmation.")
    topics: list[TopicName] = Field(default=[], description="Names of SNS topics, all like <stack>-notify-...")


class Pipeline(_Model):
    """A pipeline of EMR Pipelines."""

    name: Name
    description: str | None = None
    triggers: Triggers = Triggers()
    parameters: dict[Identifier, Parameter] = {}
    application: Application | None = None
    cluster: Cluster | None = None
    concurrency: Concurrency | None = None
    fail_fast: bool = Field(default=False, description="Whether one failed job cancels all others.")
    timeout_minutes: int | None = Field(default=None, ge=1, le=_YEAR_MINUTES, description="When the run is stopped.")
    expected_minutes: int | None = Field(
        default=None, ge=1, le=_YEAR_MINUTES, description="After how long people are told that the run still goes on."
    )
    jobs: list[
        Annotated[Annotated[Job, Tag("(job)")] | Annotated[Group, Tag("(group)")], Discriminator(_kind_of_job)]
    ] = Field(min_length=1)
    notifications: Notifications = Notifications()

    @model_validator(mode="after")
    def _check_minutes(self) -> Self:
        if self.expected_minutes and self.timeout_minutes and self.expected_minutes >= self.timeout_minutes:
            raise ValueError("expectedMinutes must be less than timeoutMinutes, which stops the run")
        return self


def field_names() -> set[str]:
    """Return the names of all fields that are ours."""
    models = {_Model}
    while more := {child for model in models for child in model.__subclasses__()} - models:
        models |= more
    return {field.alias or name for model in models for name, field in model.model_fields.items()}
