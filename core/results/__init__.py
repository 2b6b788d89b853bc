"""What was seen: frozen values, no torch. Built on ``core.spec``, imported by everything after."""
