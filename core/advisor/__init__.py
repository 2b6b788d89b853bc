"""What would make a configuration cheaper: every sensible combination of mitigations, ranked.

This package orchestrates and knows no torch and no process: what a configuration costs is answered
by ``ask``, a function that takes many configurations at once and answers them in any order, each
with its place in the sequence. ``core.isolation.forecasters`` makes one that asks as many warm
processes as there are cores:

    with closing(forecasters()) as asked:
        for seen in advise(spec, 512 * 2**20, asked.ask_all):
            ...  # Advising for each point, at the end one Advice
"""

from __future__ import annotations

from core.advisor.advising import advise
from core.advisor.asking import Ask, Settle
from core.advisor.combinations import Combination, Combinations, combinations
from core.advisor.front import known_bytes, known_seconds, time_factor
from core.advisor.revising import revised, with_measured

__all__ = [
    "Ask",
    "Combination",
    "Combinations",
    "Settle",
    "advise",
    "combinations",
    "known_bytes",
    "known_seconds",
    "revised",
    "time_factor",
    "with_measured",
]
