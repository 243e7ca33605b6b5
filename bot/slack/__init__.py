"""The edges to Slack: the Web API client, messages, people, streams, escaping."""
