"""Model files: where they come from, how they are checked, unpacked and converted."""
