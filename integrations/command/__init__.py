"""Programs of this machine that the team allows."""

from integrations.command.integration import CommandIntegration

__all__ = ["CommandIntegration"]
