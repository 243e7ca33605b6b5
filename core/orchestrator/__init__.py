"""What turns requests into model output, on this machine or on a server of the team's own."""

from __future__ import annotations

from core.orchestrator.local import LocalAIOrchestrator
from core.orchestrator.manifest import ModelFileError
from core.orchestrator.remote import RemoteAIOrchestrator

__all__ = ["LocalAIOrchestrator", "ModelFileError", "RemoteAIOrchestrator"]
