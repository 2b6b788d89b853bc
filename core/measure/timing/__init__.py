"""How long it takes, and what went on around it."""
