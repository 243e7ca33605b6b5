"""PagerDuty: its v3 webhooks, acknowledging incidents and writing notes to them."""

from integrations.pagerduty.integration import PagerDutyIntegration

__all__ = ["PagerDutyIntegration"]
