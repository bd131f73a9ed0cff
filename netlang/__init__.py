"""netlang."""
