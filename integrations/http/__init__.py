"""HTTP requests to hosts that the team allows."""

from integrations.http.integration import HttpIntegration

__all__ = ["HttpIntegration"]
