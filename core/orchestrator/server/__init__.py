"""The model server: torch in a process of its own, OpenAI-compatible HTTP on loopback."""
