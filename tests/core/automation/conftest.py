"""One world for each test module and database: starting the engine takes a second."""

from tests.core.workflows.countersigning import world  # noqa: F401  a fixture
