"""What holds for all tests."""

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, not of the code.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A change passes or fails for what is in it; new examples are looked for with --hypothesis-profile=search.
settings.register_profile("repeatable", parent=settings.get_profile("search"), derandomize=True)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what shares a server or other costly things to one worker, so that no other makes them again."""
    for item in items:
        fixtures = getattr(item, "fixturenames", [])
        item.add_marker(pytest.mark.xdist_group("enforcing" if "enforcing_aws" in fixtures else item.path.stem))
