"""Of all tests: none depends on how busy the machine is."""

from hypothesis import HealthCheck, settings

#: A machine under load is no mistake, nor is a folder that all examples share.
SLOW_OR_SHARED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("syncagent", deadline=None, suppress_health_check=SLOW_OR_SHARED)
settings.load_profile("syncagent")
