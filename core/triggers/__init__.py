"""Triggers at work: an event becomes a message with offers, an incident, or a run."""

from core.triggers.arguments import map_arguments
from core.triggers.service import TriggerService

__all__ = ["TriggerService", "map_arguments"]
