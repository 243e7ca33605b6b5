"""The databases that the tests of core run on."""

from tests.support.postgres import database, postgres  # noqa: F401  fixtures
