"""CircleCI: its webhooks, and its API."""

from integrations.circleci.integration import CircleCIIntegration

__all__ = ["CircleCIIntegration"]
