"""Guarded workflows: definition -> plan -> guardrails -> countersignatures -> run."""
