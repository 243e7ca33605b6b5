"""The Slack face of Countersign. It knows `core`; `core` does not know it."""
