"""Any sender that follows https://www.standardwebhooks.com."""

from integrations.standardwebhooks.integration import StandardWebhooksIntegration

__all__ = ["StandardWebhooksIntegration"]
