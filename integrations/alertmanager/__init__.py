"""Prometheus Alertmanager: its webhook receiver."""

from integrations.alertmanager.integration import AlertmanagerIntegration

__all__ = ["AlertmanagerIntegration"]
