"""Sentry: webhooks of an internal integration."""

from integrations.sentry.integration import SentryIntegration

__all__ = ["SentryIntegration"]
