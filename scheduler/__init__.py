"""Schedules become firings here, by the clock; what firings lead to is core's."""
