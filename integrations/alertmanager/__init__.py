"""Prometheus Alertmanager: its webhook receiver, and silences through its API."""

from integrations.alertmanager.integration import AlertmanagerIntegration

__all__ = ["AlertmanagerIntegration"]
