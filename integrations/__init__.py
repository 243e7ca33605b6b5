"""The systems Countersign talks to: webhooks in, actions out."""
