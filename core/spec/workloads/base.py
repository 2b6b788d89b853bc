"""What the rest of the program asks every workload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal, Self

from core.spec.declaration import Problem, Spec
from core.spec.derivation import Derivation
from core.spec.mitigations import Mitigation
from core.spec.models import Model
from core.spec.workloads.alternative import Alternative

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

    @property
    def unrolls(self) -> bool:
        """Whether the graph of inner steps is kept, to be differentiated."""
        return False

    def computed_model(self, model: Model) -> Model:
        """The model that is computed with: the given one, or one with other layers in places."""
        return model

    @property
    def trained(self) -> int:
        """Adam steps on the same examples before the workload begins."""
        return 0

    @property
    def instead(self) -> str:
        """What needs less memory, a sentence; empty where nothing does."""
        return ""

    @property
    def takes_differences(self) -> bool:
        """Whether a derivative is the difference of two gradients."""
        return False

    @property
    def approximates(self) -> str:
        """What is approximated, words that follow "approximates"; empty where the answer is exact
        in all but rounding."""
        return ""

    def exactly(self) -> Self:
        """The workload that computes what this one approximates; itself where it is exact."""
        return self

    @property
    def undivided(self) -> str:
        """Why its examples are not computed in parts, words that follow what was given; empty where
        they can be."""
        return ""

    @property
    def accumulates(self) -> bool:
        """Whether its examples can be computed in parts, one after the other."""
        return not self.undivided

    @property
    def may_end_early(self) -> str:
        """Why less time may be needed than is foretold, a sentence; empty where it may not."""
        return ""

    def alternatives(self, parameters: int) -> Iterator[Alternative]:
        """Other ways to the same answer or near it, which may cost less.

        Args:
            parameters: trainable numbers of the model.
        """
        del parameters
        yield from ()

    def graphs(self, mitigation: Mitigation) -> int:
        """How many passes through the model are kept at once, to be differentiated.

        Args:
            mitigation: what is done to keep fewer.
        """
        del mitigation
        return 1

    def misfits(self, model: Model, mitigation: Mitigation) -> Iterator[Problem]:
        """Why this does not combine with a model or a mitigation, one sentence each."""
        del model, mitigation
        yield from ()

    def remarks(self, readings: Mapping[str, float | None]) -> Iterator[str]:
        """What the numbers that a run has found mean for its result, one sentence each."""
        del readings
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

    def unit_groups(self, parameters: Sequence[int]) -> tuple[int, ...]:
        """The like parts by what they are alike in: how many there are in each group.

        Args:
            parameters: numbers in each tensor of the model.
        """
        return (self.units(sum(parameters)),)
