"""The devices, the processor and everything else that a result is taken on."""
