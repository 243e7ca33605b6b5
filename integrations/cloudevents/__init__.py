"""Any sender of CloudEvents over HTTP."""

from integrations.cloudevents.integration import CloudEventsIntegration

__all__ = ["CloudEventsIntegration"]
