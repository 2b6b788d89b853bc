"""How it is computed: torch. Knows specs and results; nothing here measures."""
