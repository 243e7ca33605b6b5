"""One engine for each test module and database: starting it takes a second."""

from tests.core.workflows.guardrails.guarded import guarded  # noqa: F401  a fixture
