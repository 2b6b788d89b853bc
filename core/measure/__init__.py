"""How it is seen: memory and time of a computation. Knows the recorder alone of the engine."""
