"""What turns requests into model output, on this machine or on a server of the team's own."""

from __future__ import annotations

from core.orchestrator.client.remote import RemoteAIOrchestrator
from core.orchestrator.files.manifest import ModelFileError
from core.orchestrator.local import LocalAIOrchestrator

__all__ = ["LocalAIOrchestrator", "ModelFileError", "RemoteAIOrchestrator"]
