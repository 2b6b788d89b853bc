"""What a higher-order gradient costs: asking, computing, measuring, keeping. No Qt, no window.

spec      what is asked: frozen values, JSON both ways
results   what was seen: events while it runs, a measurement at the end
engine    how it is computed, with torch
measure   how it is seen: clock, memory ledger, devices
runner    run(spec) -> events
isolation the same events, from a child process that does nothing but measure
history, export, cli   kept runs, their files, and the command line

Each may import the ones above it, never one below. The window (``hogui``) imports this package;
nothing here imports the window.
"""

import os

# WORKAROUND: torch's profiler writes "USDT:" lines to stderr whatever is asked of it; they would
# end up as the last words of a crashed run. Kineto reads its log level when torch is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")

__version__ = "0.1.0"
