"""The clock: schedules become firings here, and nothing else happens."""
