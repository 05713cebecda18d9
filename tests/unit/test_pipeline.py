"""A pipeline file is checked without a run: every mistake is named, with its path, its line and what to do."""

import json
from itertools import pairwise
from typing import Any

import pytest
from emr_pipelines.errors import InvalidPipelineError
from emr_pipelines.pipeline import check_definition, check_pipeline

from tests.unit.conftest import ROOT, SALARIES
from tests.unit.pipeline_files import DRIVER, HEAD, MINIMAL, arguments, file_of, job, problems

EVERYTHING = f"""\
name: small
description: everything at once
triggers:
  uploads:
    - prefix: landing/a/
      suffix: .csv
      batch: {{maxFiles: 10, maxWaitSeconds: 30}}
  schedules:
    - expression: cron(0 14 ? * FRI *)
      timezone: Europe/Dublin
      parameters: {{day: 2026-11-20}}
      enabled: false
  messages: true
  events:
    - pattern: {{source: [emr-pipelines], detail: {{pipeline: [other]}}}}
      parameters: {{top: 3}}
parameters:
  top: 10
  day: {{type: date, default: 2026-01-01, description: which day}}
  modes: {{type: list, default: [TRAINING, SCORING]}}
  level: {{type: string, allowedValues: [low, high], default: low}}
  nothing: null
application: {{releaseLabel: emr-7.9.0, type: SPARK, lifecycle: transient}}
concurrency: {{limit: 2, policy: cancelOldest}}
failFast: true
timeoutMinutes: 90
jobs:
  - name: first
    executionTimeoutMinutes: "{{{{ parameters.top }}}}"
    {DRIVER}
  - name: loop
    dependsOn: [first]
    runIf: ALL_DONE
    forEach: {{mode: "{{{{ parameters.modes }}}}"}}
    maxConcurrency: 2
    jobs:
      - name: preprocess
        {DRIVER}
      - name: model
        dependsOn: [preprocess]
        jobDriver: {{hive: {{query: "{{{{ jobs['preprocess'].output.query }}}}"}}}}
notifications: {{on: [FAILED, SKIPPED]}}
""".replace("jobDriver: {hive: {query", "jobDriver: {sparkSubmit: {entryPoint")


def test_check_fills_in_every_default_when_the_file_is_good() -> None:
    definition = check_pipeline("pipelines/small.yaml", "small", MINIMAL, "v1")

    assert (definition.name, definition.file, definition.version) == ("small", "pipelines/small.yaml", "v1")
    assert definition.data == {
        "name": "small",
        "description": None,
        "triggers": {"uploads": [], "schedules": [], "messages": False, "events": []},
        "parameters": {},
        "application": {"lifecycle": "shared", "applicationId": None, "releaseLabel": "emr-7.9.0", "type": "SPARK"},
        "cluster": None,
        "concurrency": None,
        "failFast": False,
        "timeoutMinutes": None,
        "jobs": [
            {
                "name": "only",
                "dependsOn": [],
                "runIf": "ALL_SUCCESS",
                "step": None,
                "resize": None,
                "timeoutMinutes": None,
                "forEach": None,
                "maxConcurrency": 1,
                "jobDriver": {"sparkSubmit": {"entryPoint": "s3://b/job.py"}},
            }
        ],
        "expectedMinutes": None,
        "notifications": {
            "on": ["FAILED", "CANCELLED", "TIMED_OUT", "SUCCEEDED", "RETRIED", "OVERDUE"],
            "email": [],
            "topics": [],
        },
    }
    assert definition.line_of("jobs[0].jobDriver.sparkSubmit.entryPoint") == 5


@pytest.mark.parametrize("text", [MINIMAL, EVERYTHING, SALARIES], ids=["minimal", "everything", "salaries"])
def test_check_gives_the_same_when_it_checks_its_own_result(text: str) -> None:
    data = check_pipeline("file", None, text).data

    assert check_definition(json.loads(json.dumps(data))).data == data


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=lambda path: path.stem)
def test_check_finds_nothing_when_the_file_is_one_of_the_examples(path: Any) -> None:
    assert check_pipeline(f"pipelines/{path.name}", path.stem, path.read_text()).name == path.stem


def test_check_reports_every_problem_with_path_and_line_when_there_are_several_kinds() -> None:
    text = (
        SALARIES.replace("name: salaries", "name: Salaries")
        .replace("prefix:", "prefixx:")
        .replace("emr-7.9.0", "emr 7!")
        .replace("parameters.top", "parameters.topp")
    )

    message = problems(text, "salaries")

    assert "pipelines/small.yaml has 6 problems:" in message
    assert (
        'line 2: name: must be a small letter, then up to 47 small letters, digits and "-", not "Salaries"' in message
    )
    assert 'line 2: name: must be "salaries", as the file is called, not "Salaries"' in message
    assert "line 5: triggers.uploads[0].prefix: is missing" in message
    assert 'line 5: triggers.uploads[0].prefixx: is not a field of a pipeline file; did you mean "prefix"?' in message
    line = text[: text.index("emr 7!")].count("\n") + 1
    assert f'line {line}: application.releaseLabel: "emr 7!" does not match' in message
    assert 'entryPointArguments[3]: parameters has no "topp"; did you mean "top"?' in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("emr-7.9.0", "emr 7!", 'application.releaseLabel: "emr 7!" does not match'),
        ("emr-7.9.0", "7.9.0", 'application.releaseLabel: must begin with emr-, as in emr-7.9.0, not "7.9.0"'),
        ("s3://b/", "jobs/", 'sparkSubmit.entryPoint: must be an address, as in "s3://{{ stack.bucket }}/jobs/job.py"'),
        ("jobs:", "notifications: {topics: [a b]}\njobs:", "notifications.topics[0]: must be up to 256 letters"),
        ("type: SPARK", "types: SPARK", 'application: "type" is missing'),
        ("type: SPARK", "types: SPARK", 'is not a field of CreateApplication; did you mean "type"?'),
        ("type: SPARK", "type: SPARK, life: x", 'life: is not a field of CreateApplication; did you mean "lifecycle"?'),
        ("type: SPARK", "type: HIVE", "jobs[0].jobDriver: must be hive: the application's type is HIVE"),
        ("entryPoint:", "entrypoint:", 'jobs[0].jobDriver.sparkSubmit: "entryPoint" is missing'),
        ("s3://b/job.py", "[1]", "jobs[0].jobDriver.sparkSubmit.entryPoint: must be text, not a list"),
        ("sparkSubmit:", "hive: {query: x}, sparkSubmit:", "must have exactly one of sparkSubmit, hive"),
        ("jobDriver:", "depndsOn: [a]\n    jobDriver:", 'is not a field of StartJobRun; did you mean "dependsOn"?'),
        ("jobDriver:", "clientToken: a\n    jobDriver:", "jobs[0].clientToken: is filled in for you; leave it out"),
        ("jobDriver:", "tags:", '"jobDriver" is missing: give it sparkSubmit or hive'),
        ("jobDriver:", "retryPolicy: {maxAttempts: 0}\n    jobDriver:", "maxAttempts: must be at least 1, not 0"),
        ("jobDriver:", "tags: '{{ run.id }}'\n    jobDriver:", "jobs[0].tags: must be a mapping, not text"),
        ("name: only", "name: only\n    name: again", "line 5: jobs[0].name: is given twice"),
        ("name: small", "name: other", 'line 1: name: must be "small", as the file is called, not "other"'),
        ("jobs:", "extra: 1\njobs:", "line 3: extra: is not a field of a pipeline file; there are: "),
        ("jobs:", "faillFast: true\njobs:", 'did you mean "failFast"?'),
        ("type: SPARK", "type: SPARK, lifecycle: existing", 'lifecycle "existing" needs applicationId'),
        ("type: SPARK", "type: SPARK, applicationId: a1", 'goes with lifecycle "existing", not "shared"'),
        ("jobs:", "timeoutMinutes: 0\njobs:", "timeoutMinutes: Input should be greater than or equal to 1"),
        ("jobs:", "concurrency: {limit: 0}\njobs:", "concurrency.limit: Input should be greater than or equal to 1"),
        ("jobs:", "triggers: {uploads: [{prefix: output/x}]}\njobs:", "prefix: never starts a run"),
        ("jobs:", "triggers: {uploads: [{prefix: s3://b/x}]}\njobs:", "is a prefix of keys in the bucket of the stack"),
        (
            "jobs:",
            "triggers: {uploads: [{prefix: a/, batch: {maxFiles: 1001}}]}\njobs:",
            "triggers.uploads[0].batch.maxFiles: Input should be less than or equal to 1000",
        ),
        ("jobs:", "triggers: {schedules: [{expression: rate(5 minuts)}]}\njobs:", "triggers.schedules[0]: "),
        (
            "jobs:",
            "triggers: {schedules: [{expression: rate(1 hour), timezone: Europe/Dubln}]}\njobs:",
            "triggers.schedules[0]: ",
        ),
        (
            "jobs:",
            "triggers: {events: [{pattern: {source: aws.s3}}]}\njobs:",
            'triggers.events[0].pattern: "source" must be a list of what matches',
        ),
        ("jobs:", "triggers: {events: [{pattern: {}}]}\njobs:", "triggers.events[0].pattern: "),
        ("jobs:", "notifications: {email: ['a,b@c.de']}\njobs:", "notifications.email[0]: is no e-mail address"),
        ("jobs:", "notifications: {email: ['<a@b.c>']}\njobs:", "notifications.email[0]: is no e-mail address"),
        ("jobs:", "notifications: {email: [a@b..c]}\njobs:", "notifications.email[0]: is no e-mail address"),
        ("jobs:", "notifications: {email: [.a@b.c]}\njobs:", "notifications.email[0]: is no e-mail address"),
        ("jobs:", "notifications: {email: [a@localhost]}\njobs:", "notifications.email[0]: is no e-mail address"),
        (
            "jobs:",
            "triggers: {schedules: [{expression: rate(1 hour), parameters: {x: 1}}]}\njobs:",
            "triggers.schedules[0].parameters.x: is not a parameter of this pipeline; it has: none",
        ),
        ("name: only", "name: only\n    maxConcurrency: 2", "jobs[0]: maxConcurrency goes with forEach"),
        ("name: only", "name: only\n    forEach: {a: [1], b: [2]}", "jobs[0].forEach: "),
        ("name: only", "name: only\n    forEach: {a b: [1]}", "jobs[0].forEach.a b: must be a letter or "),
        ("name: only", "name: only\n    forEach: {a: 1}", "jobs[0].forEach.a"),
        ("name: only", "name: only\n    forEach: '{{ x }}'", "jobs[0].forEach: 'x' is undefined"),
    ],
)  # fmt: skip
def test_check_names_the_problem_when_a_file_is_wrong(old: str, new: str, expected: str) -> None:
    assert expected in problems(MINIMAL.replace(old, new), "small")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "not YAML"),
        ("", "must be a mapping with name, application (or cluster) and jobs"),
        ("- a", "must be a mapping with name, application (or cluster) and jobs"),
        ("a: !!python/object:os.system {}", "not YAML"),
        ("\tname: x", "line 1: not YAML"),
        ("a: " + "[" * 5000, "is nested too deeply"),
        ("a: &a [*a]", "is nested too deeply"),
        ("a: 'x\n", "not YAML"),
        ("1: x", "line 1: the name 1 must be a text: write it in quotes"),
        ("a: " + "x" * 500_000, "has 500003 characters; 500000 are allowed"),
        (
            "a: &a [x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefg")),
            "has more than 100000 values, which its aliases repeat",
        ),
    ],
)  # fmt: skip
def test_check_says_so_when_a_file_is_not_a_pipeline_at_all(text: str, expected: str) -> None:
    assert expected in problems(text)


@pytest.mark.parametrize("value", [None, 1, [], {"name": "x", "jobs": "x"}, {"jobs": [{"jobs": [1]}, 2, {"name": 3}]}])
def test_check_definition_reports_problems_when_it_is_given_anything(value: object) -> None:
    with pytest.raises(InvalidPipelineError, match="the definition in the input of the execution has"):
        check_definition(value)


@pytest.mark.parametrize(
    "address", ["a@b.c", "data-team+jobs@eu.example.co.uk", "o'neil_1@x-y.example", "jörg@exämple.de"]
)
def test_check_finds_nothing_when_an_address_is_good(address: str) -> None:
    notifications = f'notifications: {{email: ["{address}"]}}\njobs:'

    assert check_pipeline("x", None, MINIMAL.replace("jobs:", notifications)).data["notifications"]["email"] == [
        address
    ]


def test_check_takes_words_and_dates_as_text_when_yaml_1_1_would_not() -> None:
    text = MINIMAL + "parameters: {a: 2026-11-20, b: 12:30, c: 010, d: on, e: 1.5, f: 10, g: true}\n"

    parameters = check_pipeline("file", None, text).data["parameters"]

    assert parameters == {"a": "2026-11-20", "b": "12:30", "c": "010", "d": "on", "e": 1.5, "f": 10, "g": True}


def test_check_reads_json_when_it_is_indented_with_tabs() -> None:
    text = file_of(job("only", jobDriver=arguments("😀"))).replace("\n ", "\n\t")

    definition = check_pipeline("pipelines/small.json", "small", text)

    assert definition.data["jobs"][0]["jobDriver"] == arguments("😀")
    line = text[: text.index("entryPointArguments")].count("\n") + 1
    assert definition.line_of("jobs[0].jobDriver.sparkSubmit.entryPointArguments") == line


def test_check_spells_the_circle_out_when_jobs_wait_for_each_other() -> None:
    text = file_of(job("d"), job("c", dependsOn=["a"]), job("a", dependsOn=["b", "d"]), job("b", dependsOn=["c"]))

    assert "jobs[1].dependsOn: goes round in a circle, so nothing could start: c -> a -> b -> c" in problems(text)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([job("a", dependsOn=["a"])], 'jobs[0].dependsOn[0]: "a" cannot depend on itself'),
        ([job("load"), job("b", dependsOn=["laod"])], 'there is no job "laod" in this file; did you mean "load"?'),
        ([job("a"), job("b", dependsOn=["a", "a"])], 'jobs[1].dependsOn[1]: "a" is named twice'),
        ([job("a"), job("a")], "jobs[1].name: several jobs are named a (also jobs[0])"),
        (
            [job("a"), {"name": "g", "forEach": {"x": [1]}, "jobs": [job("a")]}],
            "jobs[1].jobs[0].name: several jobs are named a (also jobs[0])",
        ),
        (
            [job("a"), {"name": "g", "forEach": {"x": [1]}, "jobs": [job("b", dependsOn=["a"])]}],
            'there is no job "a" in the group g; there are: b',
        ),
        (
            [job("a", dependsOn=["b"]), {"name": "g", "forEach": {"x": [1]}, "jobs": [job("b")]}],
            'there is no job "b" in this file',
        ),
        ([{"name": "g", "jobs": [job("b")]}], "jobs[0].forEach: is missing"),
        (
            [{"name": "g", "forEach": {"x": [1]}, "jobs": [job("b", forEach={"y": [2]})]}],
            "jobs[0].jobs[0]: is in a group, which cannot have forEach in it",
        ),
        (
            [{"name": "g", "forEach": {"x": [1]}, "jobs": [{"name": "h", "forEach": {"y": [1]}, "jobs": [job("b")]}]}],
            "jobs[0].jobs[0]: is in a group, which cannot have forEach and jobs in it",
        ),
        ([job("a", runIf="ANY_FAILED")], "jobs[0].runIf: needs dependsOn"),
        ([job("a", runIf="SOMETIMES")], "jobs[0].runIf: Input should be 'ALL_SUCCESS'"),
        (
            [{"name": "g", "forEach": {"x": [1]}, "jobs": [job("b", runIf="ALL_DONE")]}],
            "jobs[0].jobs[0].runIf: needs dependsOn; of the first jobs of a group, the group decides",
        ),
    ],
)  # fmt: skip
def test_check_names_the_problem_when_the_graph_is_wrong(jobs: list[dict[str, Any]], expected: str) -> None:
    assert expected in problems(file_of(*jobs))


LOOP = {"name": "g", "forEach": {"mode": [1, 2]}, "jobs": [job("pre"), job("post", dependsOn=["pre"])]}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ nothing }}", "entryPointArguments[0]: 'nothing' is undefined; in scope: trigger, parameters, run, stack"),
        ("{{ stack.buckett }}", 'stack has no "buckett"; did you mean "bucket"?'),
        ("{{ run.id", "cannot be rendered: unexpected end of template"),
        ("{{ item.mode }}", "there is no forEach here, so there is no item"),
        ("{{ previous.output }}", "there is a previous job only in a forEach whose maxConcurrency is 1"),
        ("{{ job.uri }}", 'job has no "uri"; there are: name, outputUri'),
        ("{{ jobs['frist'].output }}", 'there is no job "frist"; did you mean "first"?'),
        ("{{ jobs['other'].output }}", '"other" may not have ended when this job starts: add "other" to dependsOn'),
        ("{{ jobs['last'].output }}", '"last" is this job itself; in a forEach, previous is its iteration before'),
        ("{{ jobs['g'].output }}", '"g" is a group; name one of its jobs'),
        ("{{ jobs['pre'].output }}", '"pre" is a list with an entry for each iteration'),
        ("{{ jobs['first'].outputs }}", 'a job has no "outputs"; did you mean "output"?'),
        ("{{ jobs[parameters.name].output }}", "jobs needs the name of a job, as in jobs['x'].output"),
        ("{{ run.id | tojson }}", "did you mean \"to_json\"?"),
    ],
)  # fmt: skip
def test_check_names_the_problem_when_a_template_is_wrong(template: str, expected: str) -> None:
    text = file_of(
        job("first"),
        LOOP,
        job("other"),
        job("last", dependsOn=["g", "first"], jobDriver=arguments(template)),
        parameters={"name": "x"},
    )

    assert expected in problems(text)


@pytest.mark.parametrize(
    "template",
    [
        "{{ jobs['first'].output.a.b }} {{ jobs.first.state }}",
        "{{ jobs['pre'] | map(attribute='output') | list }} {{ jobs['post'][0].output.x }}",
        "{{ parameters.name }} {{ trigger.anything.at.all | default('x') }} {{ job.outputUri }}",
    ],
)
def test_check_finds_nothing_when_a_template_names_what_there_is(template: str) -> None:
    text = file_of(
        job("first"), LOOP, job("last", dependsOn=["g"], jobDriver=arguments(template)), parameters={"name": "x"}
    ).replace('"name": "g",', '"name": "g", "dependsOn": ["first"],')

    assert check_pipeline("file", None, text).name == "small"


@pytest.mark.parametrize("place", ["forEach", "application"])
def test_check_refuses_outputs_of_jobs_when_no_job_can_have_run(place: str) -> None:
    template = "{{ jobs['first'].output }}"
    fields = {"forEach": {"x": template}} if place == "forEach" else {}
    text = file_of(job("first"), job("last", dependsOn=["first"], **fields))
    if place == "application":
        text = text.replace("emr-7.9.0", template)

    assert "other jobs cannot be named here, since this is read before any job runs" in problems(text)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"a": {}}, "parameters.a.type: is missing"),
        ({"a": {"type": "text"}}, "parameters.a.type: Input should be 'string', 'integer'"),
        ({"a": {"type": "integer", "default": "x"}}, 'parameters.a.default: must be a whole number, not "x"'),
        ({"a": {"type": "date", "default": "20.11.2026"}}, "parameters.a.default: must be a date like 2026-11-20"),
        (
            {"a": {"type": "string", "default": "x", "allowedValues": ["y"]}},
            'parameters.a.default: must be one of "y", not "x"',
        ),
        ({"a": {"type": "integer", "allowedValues": ["y"]}}, "parameters.a.allowedValues[0]: must be a whole number"),
        ({"a b": 1}, 'parameters.a b: must be a letter or "_", then '),
        ({"a": {"type": "string", "defalt": 1}}, "parameters.a.defalt: is not a field of a pipeline file"),
        (
            {"a": {"type": "string"}},
            "triggers.uploads[0].parameters.a: is required: give it text",
        ),
    ],
)  # fmt: skip
def test_check_names_the_problem_when_parameters_are_wrong(parameters: dict[str, Any], expected: str) -> None:
    text = file_of(job("only"), parameters=parameters, triggers={"uploads": [{"prefix": "landing/"}]})

    assert expected in problems(text)


def test_check_allows_a_required_parameter_when_every_trigger_gives_it() -> None:
    schedule = {"expression": "rate(1 hour)", "parameters": {"a": "5"}}
    text = file_of(job("only"), parameters={"a": {"type": "integer"}}, triggers={"schedules": [schedule]})

    assert check_pipeline("file", None, text).data["triggers"]["schedules"][0]["parameters"] == {"a": "5"}


def test_check_passes_over_texts_that_only_a_run_can_know_when_they_are_templates() -> None:
    text = HEAD.replace("emr-7.9.0", "'emr-{{ parameters.release }}'") + (
        "parameters: {release: 7.9.0, minutes: 5}\njobs:\n  - name: only\n"
        f'    executionTimeoutMinutes: "{{{{ parameters.minutes }}}}"\n    {DRIVER}\n'
    )

    assert check_pipeline("file", None, text).name == "small"


@pytest.mark.parametrize(
    "program", ["local:///opt/a.jar", "/opt/a.jar", "{{ parameters.program }}", "{{ stack.name }}/a"]
)
def test_program_is_left_to_aws_when_it_may_be_an_address(program: str) -> None:
    text = MINIMAL.replace("s3://b/job.py", f'"{program}"').replace("jobs:", "parameters: {program: x}\njobs:")

    check_pipeline("pipelines/small.yaml", "small", text)
