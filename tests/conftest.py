"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, not of the code.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A change passes or fails for what is in it; new examples are looked for with --hypothesis-profile=search.
settings.register_profile("repeatable", parent=settings.get_profile("search"), derandomize=True)
settings.load_profile("repeatable")
