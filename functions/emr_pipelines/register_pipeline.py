"""A pipeline file was uploaded or deleted: what the bucket now holds becomes what is live.

S3's events come twice, late, out of order and at the same time. So an event only says which pipeline to look at, and
after every change bucket and registry are looked at again: whoever writes last has seen the last of both.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from emr_pipelines.definition import Definition
from emr_pipelines.domain_event import pipeline_file_rejected, pipeline_registered, pipeline_retired
from emr_pipelines.errors import InvalidPipelineError, Problem
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.email_subscriptions import EmailSubscriptions
from emr_pipelines.gateways.event_rules import EventRules
from emr_pipelines.gateways.notification_topic import NotificationTopic
from emr_pipelines.gateways.pipeline_bucket import PipelineBucket, PipelineFiles, StoredFile
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry, Registered
from emr_pipelines.gateways.schedules import Schedules
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.trigger_messages import LONGEST_TEMPLATE, event_template


@dataclass(frozen=True)
class Registration:
    """Which definition of a pipeline is live now, if any, and why other files of that name are not.

    `not_subscribed` are addresses of any pipeline that SNS refuses, and why.
    """

    live: Definition | None
    rejected: dict[StoredFile, InvalidPipelineError] = field(default_factory=dict)
    not_subscribed: dict[str, str] = field(default_factory=dict)


def register_pipeline(
    name: str, *,
    bucket: PipelineBucket, registry: PipelineRegistry, schedules: Schedules, rules: EventRules,
    subscriptions: EmailSubscriptions, topic: NotificationTopic, events: DomainEvents,
) -> Registration:  # fmt: skip
    """Make the file of the pipeline `name` live with what belongs to it, or retire it when there is none.

    A bad file changes nothing: what was live stays live, and the file is reported, once.
    """
    found, registered = bucket.files_of(name), registry.find(name)
    while True:
        result = _choose(
            name, found, registered, registry=registry, rules=rules, topic=topic, subscriptions=subscriptions
        )
        if result.live is None and registered and registered.file in [file.key for file in found.files]:
            result = replace(result, live=registry.get(name))  # an earlier version of the file
        if result.live:
            refused = _make_live(
                result.live, registered,
                registry=registry, schedules=schedules, rules=rules, subscriptions=subscriptions, events=events,
            )  # fmt: skip
        else:
            refused = _retire(
                name, registered,
                registry=registry, schedules=schedules, rules=rules, subscriptions=subscriptions, events=events,
            )  # fmt: skip
        _report(name, found, result.rejected, bucket=bucket, events=events)
        files_before, found, registered = found.files, bucket.files_of(name), registry.find(name)
        if found.files == files_before and _is_registered(result.live, registered):
            return replace(result, not_subscribed=refused)


def _choose(
    name: str, found: PipelineFiles, registered: Registered | None, *,
    registry: PipelineRegistry, rules: EventRules, topic: NotificationTopic, subscriptions: EmailSubscriptions,
) -> Registration:  # fmt: skip
    """Find the file to be registered: the one that is, as long as it is there, else the oldest good one."""
    owner = registered.file if registered and registered.file in [file.key for file in found.files] else None
    live, rejected = None, {}
    for file in sorted(found.files, key=lambda file: file.key != owner):
        try:
            definition = _check(name, file, owner, rules, topic)
            _try_addresses(definition, registered, registry=registry, subscriptions=subscriptions)
        except InvalidPipelineError as error:
            rejected[file] = error
        else:
            live, owner = definition, file.key
    return Registration(live, rejected)


def _check(name: str, file: StoredFile, owner: str | None, rules: EventRules, topic: NotificationTopic) -> Definition:
    """Return the definition in a file; `owner` is the file of the same pipeline that goes before it."""
    if owner and owner != file.key:
        taken = f'"{name}" is registered from {owner}: delete one of the two files'
        raise InvalidPipelineError(file.key, [Problem("name", taken)])
    definition = check_pipeline(file.key, name, file.text, file.version)
    problems = list(_refusals(definition, rules, topic))
    if problems:
        raise InvalidPipelineError(file.key, problems)
    return definition


def _refusals(definition: Definition, rules: EventRules, topic: NotificationTopic) -> Iterator[Problem]:
    """Yield what AWS itself has against a definition: it knows best."""
    for index, entry in enumerate(definition.data["triggers"]["events"]):
        path = f"triggers.events[{index}].pattern"
        if refusal := rules.refusal(entry["pattern"]):
            yield Problem(path, refusal, definition.line_of(path))
        path = f"triggers.events[{index}].parameters"
        if len(event_template(definition.name, entry["parameters"])) > LONGEST_TEMPLATE:
            too_long = f"are too long: EventBridge takes a template of {LONGEST_TEMPLATE} characters with them as JSON"
            yield Problem(path, too_long, definition.line_of(path))
    for index, name in enumerate(definition.data.get("notifications", {}).get("topics", [])):
        path = f"notifications.topics[{index}]"
        if refusal := topic.refusal(name):
            yield Problem(path, refusal, definition.line_of(path))


def _try_addresses(
    definition: Definition, registered: Registered | None, *,
    registry: PipelineRegistry, subscriptions: EmailSubscriptions,
) -> None:  # fmt: skip
    """Subscribe the addresses of a definition that is good otherwise; raises InvalidPipelineError when SNS refuses."""
    addresses = definition.data.get("notifications", {}).get("email", [])
    if not addresses:
        return
    present = _addresses(registry)
    wanted = {address: present.get(address, set()) | {definition.name} for address in addresses}
    refused = subscriptions.subscribe(wanted, ask_again=_is_open(definition, registered))
    paths = {f"notifications.email[{index}]": address for index, address in enumerate(addresses)}
    problems = [
        Problem(path, refused[address], definition.line_of(path))
        for path, address in paths.items()
        if address in refused
    ]
    if problems:
        raise InvalidPipelineError(definition.file, problems)


def _make_live(
    definition: Definition, registered: Registered | None, *,
    registry: PipelineRegistry, schedules: Schedules, rules: EventRules, subscriptions: EmailSubscriptions,
    events: DomainEvents,
) -> dict[str, str]:  # fmt: skip
    """Store the definition first, so that whatever its triggers start knows it; return what `_subscribe` does."""
    if not _is_registered(definition, registered):
        registry.put(definition)
    # Also when nothing is new: an earlier attempt may have died here, or written what was already old.
    schedules.apply(definition.name, definition.data["triggers"]["schedules"])
    rules.apply(definition.name, definition.data["triggers"]["events"])
    refused = _subscribe(registry, subscriptions)
    if _is_open(definition, registered):
        events.publish(pipeline_registered(definition))
        registry.settle(definition)
    return refused


def _retire(
    name: str, registered: Registered | None, *,
    registry: PipelineRegistry, schedules: Schedules, rules: EventRules, subscriptions: EmailSubscriptions,
    events: DomainEvents,
) -> dict[str, str]:  # fmt: skip
    schedules.apply(name, [])
    rules.apply(name, [])
    if registered:
        events.publish(pipeline_retired(name, registered.file, registered.version))
    registry.remove(name)
    return _subscribe(registry, subscriptions)


def _subscribe(registry: PipelineRegistry, subscriptions: EmailSubscriptions) -> dict[str, str]:
    """Subscribe the addresses of all pipelines, which share subscriptions: whoever writes last has looked last.

    Returns why SNS refuses some of them.
    """
    wanted = _addresses(registry)
    while True:
        refused = subscriptions.apply(wanted)
        done, wanted = wanted, _addresses(registry)
        if wanted == done:
            return refused


def _addresses(registry: PipelineRegistry) -> dict[str, set[str]]:
    """Return who wants to hear of which pipelines."""
    addresses = defaultdict(set)
    for pipeline in registry.list():
        for address in pipeline.emails:
            addresses[address].add(pipeline.name)
    return dict(addresses)


def _is_open(definition: Definition, registered: Registered | None) -> bool:
    """Return whether the registration of a definition is still to be begun or ended."""
    return not (_is_registered(definition, registered) and registered and registered.settled)


def _is_registered(definition: Definition | None, registered: Registered | None) -> bool:
    if definition is None or registered is None:
        return definition is None and registered is None
    return (definition.file, definition.version) == (registered.file, registered.version)


def _report(
    name: str, found: PipelineFiles, rejected: dict[StoredFile, InvalidPipelineError], *,
    bucket: PipelineBucket, events: DomainEvents,
) -> None:  # fmt: skip
    """Tell of each bad version once: the report beside the file remembers of which one people know."""
    for file, error in rejected.items():
        text = f"{error}\n\nThis is about version {file.version}, which was not registered.\n"
        if found.reports.get(file.key) != text:
            events.publish(pipeline_file_rejected(name, file.version, error))
            bucket.write_report(file.key, text)
    for key in found.reports.keys() - {file.key for file in rejected}:
        bucket.delete_report(key)
