"""Any sender of JSON: how it signs and what its fields mean stand in the integration's file."""

from integrations.generic.integration import GenericIntegration

__all__ = ["GenericIntegration"]
