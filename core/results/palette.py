"""The colour of each category of memory, in every picture of the window and of the command line.

Imports nothing of ours: the window needs it before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CATEGORY_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "parameters": "#0072B2",
        "data": "#56B4E9",
        "optimizer_state": "#7A86C8",
        "activations": "#009E73",
        "graph_1": "#F7C59F",
        "graph_2": "#EE9B5F",
        "graph_3": "#D55E00",
        "graph_4": "#B04C00",
        "graph_5": "#8E3C00",
        "graph_6": "#6E2D00",
        "gradients": "#CC79A7",
        "fast_weights": "#F0E442",
        "tangents": "#8E2F7B",
        "temporaries": "#747A86",
        "kernel_temporaries": "#C2C7D0",
        "other": "#484D57",
    }
)
"""Okabe and Ito's (jfly.uni-koeln.de/color), the same on light and dark. The graphs of successive
gradients are one hue that darkens with the order."""
