"""What the rest of the program asks every workload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from core.spec.declaration import Problem, Spec
from core.spec.derivation import Derivation
from core.spec.mitigations import Mitigation
from core.spec.models import Model

Examples = Literal["batch", "tasks", "halves"]
"""What a workload computes on: one batch, tasks of a support and a query set, or a batch to train
on beside one to validate on."""


class WorkloadSpec(Spec):
    """One kind of computation."""

    title: ClassVar[str]
    examples: ClassVar[Examples] = "batch"
    adapts: ClassVar[bool] = False
    """Whether inner steps change the weights before the loss that counts."""
    seeded: ClassVar[bool] = False
    """Whether it draws random numbers of its own."""

    owns: ClassVar[str] = ""
    """What its own tensors are called that exist before it, such as vectors; empty for none."""

    kind: str

    @property
    def derivation(self) -> Derivation:
        """How often and in which way the loss is differentiated."""
        raise NotImplementedError

    @property
    def derivative_order(self) -> int:
        """How many derivatives of the loss are nested."""
        return self.derivation.order

    @property
    def by_inputs(self) -> bool:
        """Whether the loss is differentiated by the inputs, and the weights are constants."""
        return False

    @property
    def moves_weights(self) -> bool:
        """Whether the loss is asked for at other weights than the initial ones."""
        return False

    def misfits(self, model: Model, mitigation: Mitigation) -> Iterator[Problem]:
        """Why this does not combine with a model or a mitigation, one sentence each."""
        del model, mitigation
        yield from ()

    def result_numbers(self, parameters: int) -> int:
        """How many numbers the result and what it is made of hold at least, by the parameters.

        Args:
            parameters: trainable numbers of the model whose gradients are dense.
        """
        return parameters

    def units(self, parameters: int) -> int:
        """How many like parts follow each other: vectors, probes, rows, steps.

        Args:
            parameters: trainable numbers of the model.
        """
        del parameters
        return 1
