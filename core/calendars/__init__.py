"""iCalendar files (RFC 5545), read as what anybody may have written."""
