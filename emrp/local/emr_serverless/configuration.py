"""How the overrides of a job run and the configuration of its application become one.

As the user guide says ("Overriding configurations during a job run"): runtime configuration is merged by
classification, monitoring by type; the job run's side wins, and an empty one removes.
"""

from typing import Any

Classifications = list[dict[str, Any]]


def merged(application: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the effective `applicationConfiguration` and `monitoringConfiguration` of a job run."""
    return {
        "applicationConfiguration": _merged_classifications(
            application.get("runtimeConfiguration", []), overrides.get("applicationConfiguration", [])
        ),
        "monitoringConfiguration": _merged_monitoring(
            application.get("monitoringConfiguration", {}), overrides.get("monitoringConfiguration", {})
        ),
    }


def _merged_classifications(application: Classifications, overrides: Classifications) -> Classifications:
    by_name = {item["classification"]: item for item in [*application, *overrides]}
    return [item for item in by_name.values() if item.get("properties") or item.get("configurations")]


def _merged_monitoring(application: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    return {kind: settings for kind, settings in {**application, **overrides}.items() if settings}
