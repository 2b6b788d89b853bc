"""Whether a result is right, and what would fail or be wrong."""
