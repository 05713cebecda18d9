"""The pipeline file: what is ours in it, checked by pydantic; what is AWS's, by botocore's service model."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from emr_pipelines.errors import InvalidPipelineError, Problem
from emr_pipelines.yaml_document import YamlDocument, parse_yaml

Name = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,47}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True)


class UploadTrigger(_Model):
    """Starts a run for each object that is created below a prefix."""

    prefix: str = Field(min_length=1)
    suffix: str = ""


class Triggers(_Model):
    """What starts a run of the pipeline, besides a person."""

    uploads: list[UploadTrigger] = []


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
            if self.request:
                raise ValueError(f'lifecycle "existing" takes no {", ".join(self.request)}')
        elif self.application_id:
            raise ValueError(f'applicationId goes with lifecycle "existing", not "{self.lifecycle}"')
        return self

    @property
    def request(self) -> dict[str, Any]:
        """The CreateApplication request."""
        return dict(self.model_extra or {})


class JobDefinition(_Model):
    """The fields of EMR Serverless StartJobRun; our `name` is the job's name in the pipeline."""

    model_config = ConfigDict(extra="allow")

    name: Name

    @property
    def request(self) -> dict[str, Any]:
        """The StartJobRun request."""
        return dict(self.model_extra or {})


class Notifications(_Model):
    """Of which ends of a run people are told."""

    on: list[Literal["SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"]] = [
        "FAILED",
        "CANCELLED",
        "TIMED_OUT",
        "SUCCEEDED",
    ]


class Pipeline(_Model):
    """A pipeline file."""

    name: Name
    triggers: Triggers = Triggers()
    parameters: dict[str, Any] = {}
    application: Application
    jobs: list[JobDefinition] = Field(min_length=1)
    notifications: Notifications = Notifications()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [job.name for job in self.jobs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"several jobs are named {', '.join(twice)}")
        return self


def load_pipeline(file: str, name: str, text: str) -> tuple[Pipeline, YamlDocument]:
    """Read and check a pipeline file; raises InvalidPipelineError with every problem, its path and line."""
    document = parse_yaml(text)
    problems = list(document.problems)
    if not problems and not isinstance(document.data, dict):
        problems.append(Problem("", "must be a mapping with name, application and jobs"))
    if problems:
        raise InvalidPipelineError(file, problems)
    try:
        pipeline = Pipeline.model_validate(document.data)
    except ValidationError as error:
        found = [Problem(_path(item["loc"]), _message(item)) for item in error.errors()]
        raise InvalidPipelineError(file, located(document, found)) from error
    if pipeline.name != name:
        mismatch = Problem("name", f'must be "{name}", as the file is called, not "{pipeline.name}"')
        raise InvalidPipelineError(file, located(document, [mismatch]))
    return pipeline, document


def located(document: YamlDocument, problems: list[Problem]) -> list[Problem]:
    """Give each problem the line that it stands on."""
    return [Problem(problem.path, problem.message, document.line_of(problem.path)) for problem in problems]


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _message(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    if error["type"] == "extra_forbidden":
        return "is not a field of a pipeline file"
    if error["type"] == "missing":
        return "is missing"
    return str(error["msg"]).removeprefix("Value error, ")
