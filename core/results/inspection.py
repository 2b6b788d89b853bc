"""What is known of a model of the user's own once its file was loaded."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from core.spec.layers import Shape


class InspectedModule(BaseModel):
    """One module that computes something.

    Attributes:
        name: its place and its class, for example ``encoder.0 Linear``.
        output_shape: of one example; None where it gave no tensor.
        parameters: number of its own trainable values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    output_shape: Shape | None
    parameters: int


class Inspection(BaseModel):
    """What a file was found to define, or why it cannot be used.

    Attributes:
        modules: in the order in which they began.
        output_shape: of one example, None where the file cannot be used.
        has_loss: whether the file defines ``loss(module, batch)``.
        has_step: whether it defines ``step(module, batch)``.
        fault: one sentence, None where the file can be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modules: tuple[InspectedModule, ...] = ()
    output_shape: Shape | None = None
    has_loss: bool = False
    has_step: bool = False
    fault: str | None = None

    @property
    def parameters(self) -> int:
        """Trainable values of all modules together."""
        return sum(module.parameters for module in self.modules)
