"""Templates: what they can do, what they cannot reach, and when they are rendered."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from emr_pipelines.errors import EmrPipelinesError, OutputUnavailableError, Problem
from emr_pipelines.service_model import START_JOB_RUN
from emr_pipelines.template_language import evaluate, is_deferred, references
from emr_pipelines.templates import render, render_deferred
from hypothesis import given
from hypothesis import strategies as st

SCOPE: dict[str, Any] = {
    "trigger": {"uri": "s3://b/in/2026/data.csv", "scheduledTime": "2026-11-20T23:30:00Z"},
    "parameters": {
        "top": 10,
        "share": 0.5,
        "on": True,
        "nothing": None,
        "names": ["a", "b"],
        "map": {"x": "ü"},
        "items": 7,
    },
    "run": {"id": "r", "output": "s3://b/output/p/r"},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ run.output }}/clean", "s3://b/output/p/r/clean"),
        ("{{ parameters.top + 1 }} {{ parameters.share }}", "11 0.5"),
        ("{{ parameters.on }} {{ parameters.nothing }}", "true null"),
        ("{{ parameters.names }}", '["a", "b"]'),
        ("{{ parameters.map }}", '{"x": "ü"}'),
        ("{{ parameters.items }}", "7"),
        ("{{ parameters['names'][1] }}{{ parameters.names[0] }}", "ba"),
        ("{% if parameters.on %}yes{% else %}no{% endif %}", "yes"),
        ("{{ 'many' if parameters.top > 5 else 'few' }}", "many"),
        ("{{ trigger.key | default('none') }}", "none"),
        ("{{ trigger.event.detail.bucket | default('none') }}", "none"),
        ("{{ trigger.uri.split('/') | last }}", "data.csv"),
        ("{{ trigger.scheduledTime | date('%Y-%m-%d') }}", "2026-11-20"),
        ("{{ trigger.scheduledTime | date('%d.%m.%Y %H:%M', 'Europe/Berlin') }}", "21.11.2026 00:30"),
        ("{{ trigger.scheduledTime | date('%Y', timezone='Asia/Tokyo') }}", "2026"),
        ("{{ '2026-11-20' | date('%A', 'Asia/Tokyo') }}", "Friday"),
        ("{{ '2026-11-20T23:30:00+02:00' | date('%H:%M') }}", "21:30"),
        ("{{ trigger.scheduledTime | shift(days=-1) }}", "2026-11-19T23:30:00Z"),
        ("{{ trigger.scheduledTime | shift(hours=1) | date }}", "2026-11-21"),
        ("{{ '2026-01-31' | shift(months=1) }}", "2026-02-28"),
        ("{{ '2024-02-29' | shift(years=-1, days=1) }}", "2023-03-01"),
        ("{{ '2026-11-20' | shift(weeks=1) | date('%m/%d') }}", "11/27"),
        ("{{ trigger.uri | s3_bucket }} {{ trigger.uri | s3_key }}", "b in/2026/data.csv"),
        ("{{ trigger.uri | s3_name }} {{ trigger.uri | s3_parent }}", "data.csv s3://b/in/2026"),
        ("{{ 's3://b/a/' | s3_name }} {{ 's3://b/a/' | s3_parent }}", "a s3://b"),
        ("{{ 's3://b' | s3_key }}{{ 's3://b' | s3_name }}", ""),
        ("{{ parameters.names | to_json }}", '["a", "b"]'),
        ("{{ ('[1, {\"a\": 2}]' | from_json)[1].a }}", "2"),
        ("{{ parameters.names | join(',') }} {{ parameters.names | map('upper') | list }}", 'a,b ["A", "B"]'),
        ("{{ 'a-b' | replace('-', '_') }}", "a_b"),
        ("{# a comment #}", ""),
        ("{{ '{{ run.id }}' }}", "{{ run.id }}"),
    ],
)  # fmt: skip
def test_template_gives_the_text_when_it_is_rendered(template: str, expected: str) -> None:
    assert evaluate(template, SCOPE) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ nothing }}", "'nothing' is undefined; in scope: trigger, parameters, run"),
        ("{{ run.idd }}", "there is no 'idd'; did you mean \"id\"?"),
        ("{{ trigger.event.detail }}", "there is no 'event'; there are: uri, scheduledTime"),
        ("{{ parameters.names[7] }}", "there is no 7 in"),
        ("{{ parameters.top.x }}", "there is no 'x' in 10"),
        ("{{ parameters.top / 0 }}", "division by zero"),
        ("{{ parameters.top + 'a' }}", "unsupported operand"),
        ("{{ run.id | dat }}", "No filter named 'dat'. (did you mean \"date\"?)"),
        ("{{ run.id | date }}", "'r' is neither a time like 2026-11-20T14:00:00Z nor a date like 2026-11-20"),
        ("{{ parameters.top | date }}", "10 is neither a time"),
        ("{{ '2026-11-20' | date('%Y', 'Mars/Olympus') }}", "there is no time zone 'Mars/Olympus'"),
        ("{{ '2026-11-20T00:00:00Z' | date('%Y', '../etc/passwd') }}", "there is no time zone"),
        ("{{ '2026-11-20' | date('%9999999999Y') }}", "is no date format"),
        ("{{ '2026-11-20' | shift(hours=1) }}", "is a date, so it cannot be moved by hours or minutes"),
        ("{{ '2026-11-20' | shift(years=9000) }}", "cannot be moved so far"),
        ("{{ '2026-11-20' | shift(days=10000000000000) }}", "cannot be moved"),
        ("{{ '2026-11-20' | shift(dayz=1) }}", "unexpected keyword argument 'dayz'"),
        ("{{ run.id | s3_bucket }}", "'r' is no S3 URI like s3://bucket/folder/file"),
        ("{{ run.id | from_json }}", "Expecting value"),
        ("{{ run.id", "unexpected end of template"),
        ("{% for x in parameters.names %}{% endfor %}", "of Jinja2's statements there is only {% if %}"),
        ("{% set x = 1 %}", "of Jinja2's statements there is only {% if %}"),
        ("{% macro m() %}{% endmacro %}", "of Jinja2's statements there is only {% if %}"),
        ("{% include 'x' %}", "of Jinja2's statements there is only {% if %}"),
        ("{{ 2 ** 3 }}", "'**' cannot be used in templates"),
    ],
)  # fmt: skip
def test_template_says_what_is_wrong_when_it_cannot_be_rendered(template: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        evaluate(template, SCOPE)

    assert expected in str(caught.value)


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ run['__class__'] }}",
    "{{ run.__class__.__init__.__globals__ }}",
    "{{ run | attr('__class__') }}",
    "{{ [run] | map(attribute='__class__') | list }}",
    "{{ [''] | map(attribute='__class__.__mro__') | list }}",
    "{{ [run] | map('attr', '__class__') | list }}",
    "{{ [run] | selectattr('__class__', 'defined') | list | first }}",
    "{{ [''] | sort(attribute='__class__') | map(attribute='__class__') | first }}",
    "{{ '{0.__class__}'.format(run) }}",
    "{{ '{0.__class__}'.format_map(run) }}",
    "{{ '%s' % run }}",
    "{{ '%(x)999999999d' % {'x': 1} }}",
    "{{ run.id.join.__self__ }}",
    "{{ run.id.split.__self__.__class__ }}",
    "{{ run.items() }}",
    "{{ run.pop('id') }}",
    "{{ parameters.names.append('x') }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ lipsum.__globals__ }}",
    "{{ joiner }}",
    "{{ namespace() }}",
    "{{ range(10) }}",
    "{{ dict(a=1) }}",
    "{{ self }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ loop }}",
    "{{ caller() }}",
    "{{ super() }}",
    "{{ environment }}",
    "{{ config }}",
    "{{ context }}",
    "{{ __builtins__ }}",
    "{{ run() }}",
    "{{ 'x'() }}",
    "{{ nothing() }}",
    "{{ (1).__class__ }}",
    "{{ true.real }}",
    "{{ [].__class__ }}",
    "{{ ('a', 'b').count('a') }}",
    "{{ 'a'.encode() }}",
    "{{ run.id.upper.__func__ }}",
    "{{ run.id ~ run.id.upper }}",
    "{{ run.id ~ [run.id.upper] }}",
    "{{ [run.id.upper] | join }}",
    "{{ run.id.upper | to_json }}",
]
TOO_MUCH = [
    "{{ 'a' * 10**9 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ 1000000000 * 'a' }}",
    "{{ [1] * 1000000000 }}",
    "{{ 10**10**10 }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ 'a'.zfill(1000000000) }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ 'a' | indent(1000000000) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ 1 | round(1000000000, 'floor') }}",
    "{{ '\t'.expandtabs(1000000000) }}",
    "{{ '" + "a" * 60 + "'" + " | replace('a', 'aaaaaaaaaa')" * 8 + " }}",
    "{{ '" + ",".join("a" * 2000) + "'.split(',') | join('" + "b" * 2000 + "') }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ run" + ".a" * 20000 + " }}",
    "{{ " + "not " * 20000 + "1 }}",
    "{{ " + "-" * 20000 + "1 }}",
    "{{ 1" + " + 1" * 20000 + " }}",
    "{{ parameters.names }}" * 50_000,
    "{{ 1e308 * 10 }}",
    "{% if 1 %}" * 500 + "x" + "{% endif %}" * 500,
]


@pytest.mark.parametrize("template", ESCAPES)
def test_template_is_refused_when_it_reaches_for_more_than_data(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        evaluate(template, SCOPE)


@pytest.mark.parametrize("template", TOO_MUCH, ids=lambda template: template[:40])
def test_template_is_refused_when_it_would_take_too_much(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        evaluate(template, SCOPE)


def test_template_sees_no_environment_when_it_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "do-not-tell")

    for template in ("{{ env }}", "{{ environ }}", "{{ os.environ }}", "{{ SECRET }}", "$SECRET {{ run.id }}"):
        try:
            rendered = evaluate(template, SCOPE)
        except ValueError as error:
            rendered = str(error)
        assert "do-not-tell" not in rendered


ATTRIBUTES = ["__class__", "__init__", "__globals__", "format", "items", "split", "real"]
SUBSCRIPTS = ["'__class__'", "0", "-1", "'format'", "1:"]
FILTERS = ["list", "first", "to_json", "map(attribute='__class__')", "string", "items"]
EXPRESSIONS = st.recursive(
    st.sampled_from(["run", "run.id", "trigger", "parameters.names", "parameters.map", "''", "1", "[]", "{}", "none"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(ATTRIBUTES)).map(".".join),
        st.tuples(inner, st.sampled_from(SUBSCRIPTS)).map("{0[0]}[{0[1]}]".format),
        st.tuples(inner, st.sampled_from(FILTERS)).map("({0[0]} | {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]} ~ {0[1]})".format),
        inner.map("{}()".format),
        inner.map("{}('x')".format),
    ),
    max_leaves=6,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(expression=EXPRESSIONS)
def test_template_never_shows_an_object_of_python_when_it_is_any_expression(expression: str) -> None:
    try:
        rendered = evaluate("{{ " + expression + " }}", SCOPE)
    except ValueError:
        return
    assert not [word for word in ("<class", "<built-in", "<bound", "<function", "object at 0x") if word in rendered]


@given(text=st.text())
def test_text_of_a_person_stays_as_it_is_when_it_is_rendered_into_another(text: str) -> None:
    assert evaluate("[{{ parameters.text }}]", {"parameters": {"text": text}}) == f"[{text}]"


@given(value=JSON)
def test_value_comes_back_when_it_is_written_and_read_as_json(value: object) -> None:
    assert evaluate("{{ (x | to_json | from_json) == x }}", {"x": value}) == "true"


def test_references_are_all_that_a_template_names_when_it_is_read() -> None:
    template = "{{ jobs['x'].output.rows + parameters.a[parameters.b].c }}{{ previous.output | default(item.z) }}"

    assert references(template) == {
        ("jobs", "x", "output", "rows"),
        ("parameters", "a"),
        ("parameters", "b"),
        ("previous", "output"),
        ("item", "z"),
    }


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ jobs.x.output }}", True),
        ("{{ previous.state }}", True),
        ("{{ run.id }}/jobs/previous", False),
        ("{{ parameters.jobs }}", False),
        ("{{ 'jobs' }}", False),
    ],
)
def test_template_is_deferred_when_it_needs_other_jobs(template: str, expected: bool) -> None:
    assert is_deferred(template) is expected


def request(**fields: Any) -> dict[str, Any]:
    """Return a StartJobRun request."""
    return {"jobDriver": {"sparkSubmit": {"entryPoint": "s3://b/job.py"}}, **fields}


def test_render_reads_a_text_as_json_when_aws_wants_something_else_there() -> None:
    template = {
        "executionTimeoutMinutes": "{{ parameters.top }}",
        "retryPolicy": {"maxAttempts": "{{ 1 + 1 }}"},
        "jobDriver": {
            "sparkSubmit": {"entryPoint": "{{ parameters.top }}", "entryPointArguments": "{{ parameters.names }}"}
        },
        "configurationOverrides": {
            "monitoringConfiguration": {"managedPersistenceMonitoringConfiguration": {"enabled": "{{ parameters.on }}"}}
        },
        "tags": {"top": "{{ parameters.top }}"},
        "mode": "{{ 'STREAMING' if parameters.on else 'BATCH' }}",
    }  # fmt: skip
    problems: list[Problem] = []

    rendered = render(template, START_JOB_RUN, SCOPE, "jobs[0]", problems)

    assert problems == []
    assert rendered.request == {
        "executionTimeoutMinutes": 10,
        "retryPolicy": {"maxAttempts": 2},
        "jobDriver": {"sparkSubmit": {"entryPoint": "10", "entryPointArguments": ["a", "b"]}},
        "configurationOverrides": {
            "monitoringConfiguration": {"managedPersistenceMonitoringConfiguration": {"enabled": True}}
        },
        "tags": {"top": "10"},
        "mode": "STREAMING",
    }


def test_render_leaves_what_needs_other_jobs_when_the_run_is_planned() -> None:
    template = request(tags={"a.b": "{{ jobs['x'].output }}", "c": "{{ run.id }}"}, mode="{{ broken }}")
    problems: list[Problem] = []

    rendered = render(template, START_JOB_RUN, SCOPE, "jobs[3]", problems)

    assert rendered.request["tags"] == {"a.b": "{{ jobs['x'].output }}", "c": "r"}
    assert (rendered.deferred, rendered.failed) == (["tags.a.b"], ["mode"])
    assert [problem.path for problem in problems] == ["jobs[3].mode"]


class Output(Mapping[str, Any]):
    """A job in the scope of deferred templates."""

    def __init__(self, output: object) -> None:
        self._output = output

    def __getitem__(self, name: str) -> Any:
        if name != "output":
            raise KeyError(name)
        if isinstance(self._output, Exception):
            raise self._output
        return self._output

    def __iter__(self) -> Iterator[str]:
        return iter(["output"])

    def __len__(self) -> int:
        return 1


def test_render_deferred_renders_only_what_was_left_when_other_texts_look_like_templates() -> None:
    planned = request(
        tags={"a.b": "{{ jobs['x'].output.rows }}", "c": "{{ jobs['x'].output.rows }}"},
        executionTimeoutMinutes="{{ jobs.x.output.rows }}",
    )
    problems: list[Problem] = []

    complete = render_deferred(
        planned, ["tags.a.b", "executionTimeoutMinutes"], {"jobs": {"x": Output({"rows": 7})}}, problems
    )

    assert problems == []
    assert complete["tags"] == {"a.b": "7", "c": "{{ jobs['x'].output.rows }}"}
    assert complete["executionTimeoutMinutes"] == 7


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ jobs['parts'] | map(attribute='output.rows') | sum }}", "5"),
        ("{{ jobs['parts'][1].output.rows }}", "3"),
        ("{{ jobs['empty'] | length }} {{ jobs['empty'] }}", "0 []"),
        ("{{ previous.output.rows | default(0) }}", "0"),
        ("{{ previous is defined }}", "false"),
    ],
)
def test_render_deferred_gives_iterations_when_a_loop_is_named(template: str, expected: str) -> None:
    scope = {"jobs": {"parts": [Output({"rows": 2}), Output({"rows": 3})]}}
    problems: list[Problem] = []

    complete = render_deferred({"name": template}, ["name"], scope, problems)

    assert (complete["name"], problems) == (expected, [])


def test_render_deferred_names_the_place_when_an_output_has_not_what_is_asked_for() -> None:
    problems: list[Problem] = []

    render_deferred(
        {"tags": {"a": "{{ jobs.x.output.rowz }}"}}, ["tags.a"], {"jobs": {"x": Output({"rows": 1})}}, problems
    )

    assert problems == [Problem("tags.a", "there is no 'rowz'; did you mean \"rows\"?")]


def test_render_deferred_passes_the_error_on_when_an_output_cannot_be_read() -> None:
    scope = {"jobs": {"x": Output(OutputUnavailableError("x", "s3://b/x.json", "does not exist"))}}

    with pytest.raises(EmrPipelinesError, match="The output of job x cannot be read"):
        render_deferred({"name": "{{ jobs.x.output.rows | default(1) }}"}, ["name"], scope, [])
