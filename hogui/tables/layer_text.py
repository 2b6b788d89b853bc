"""Layers as JSON text, for the clipboard and for dragging between tables."""

from __future__ import annotations

import json
from collections.abc import Iterable

from core.spec.declaration import InvalidSpec, Problem
from core.spec.layers import LAYER_KINDS, LayerSpec, layer_from


def text_of_layers(layers: Iterable[LayerSpec]) -> str:
    """Layers as a spec has them, a list."""
    return json.dumps([layer.model_dump(mode="json") for layer in layers], indent=2)


def layers_from_text(text: str) -> tuple[LayerSpec, ...]:
    """Reads layers as `text_of_layers` writes them, or as a spec or a model has them.

    Raises:
        InvalidSpec: with the first thing that is wrong, in one sentence.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        raise InvalidSpec([Problem((), "The clipboard holds no layers as JSON text.")]) from None
    for key in ("model", "layers"):
        found = found.get(key, found) if isinstance(found, dict) else found
    documents = found if isinstance(found, list) else [found]
    return tuple(_layer_from(document) for document in documents)


def _layer_from(document: object) -> LayerSpec:
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(kind, str) or kind not in LAYER_KINDS:
        given = json.dumps(document)[:60]
        raise InvalidSpec([Problem((), f"The clipboard holds {given}, which is no layer.")])
    return layer_from(LAYER_KINDS[kind], document)
