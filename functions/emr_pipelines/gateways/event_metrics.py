"""CloudWatch's metrics, of what the domain events tell: lines in the function's log (EMF), which cost no call."""

from aws_lambda_powertools.metrics import EphemeralMetrics

from emr_pipelines.domain_event import DomainEvent
from emr_pipelines.measures import dimensions, measures


class EventMetrics:
    """Counts and measures for a stack, which is the dimension `service` of every metric."""

    def __init__(self, stack_name: str) -> None:
        self._stack_name = stack_name

    def observe(self, event: DomainEvent) -> None:
        """Write the metrics of an event that has been published, if it has some."""
        found = measures(event)
        if not found:
            return
        metrics = EphemeralMetrics(service=self._stack_name)
        for names in dimensions(event):
            metrics.add_dimensions(service=self._stack_name, **names)
        metrics.add_metadata("run", event.detail["run"])
        for measure in found:
            metrics.add_metric(measure.name, measure.unit, measure.value)
        metrics.flush_metrics()
