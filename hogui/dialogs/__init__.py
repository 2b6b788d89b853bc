"""The few things that are asked or told beside the window. None of them blocks its event loop."""
