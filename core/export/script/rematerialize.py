"""Rematerialization at every order, in as few lines as it takes."""

from __future__ import annotations

_FUNCTION = '''\
def rematerialize(function, *inputs, again=None):
    """The outputs of a function of tensors; no gradient of any order keeps more than its inputs.

    Whenever a gradient needs the rest, `again` or else the function is evaluated once more.
    """
    leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in inputs]
    values = [output.detach() for output in function(*leaves)]
    del leaves
    return Rematerialized.apply(again or function, values, *inputs)'''

_NODES = '''\
class Rematerialized(torch.autograd.Function):
    """Values that were computed elsewhere, and how to compute them again."""

    boxed_grads_call = True  # the cotangents come in a list that can be emptied early

    @staticmethod
    def forward(ctx, function, values, *inputs):
        ctx.set_materialize_grads(False)
        ctx.function = function
        ctx.needed = [tensor.requires_grad for tensor in inputs]
        ctx.save_for_backward(*inputs)
        return tuple(values)

    @staticmethod
    def backward(ctx, *received):
        boxed = received[0] if isinstance(received[0], list) else list(received)
        cotangents = {i: tensor for i, tensor in enumerate(boxed) if tensor is not None}
        boxed.clear()
        wanted = [i for i, is_wanted in enumerate(ctx.needs_input_grad[2:]) if is_wanted]
        pull = pull_back_again if torch.is_grad_enabled() else pull_back
        gradients = pull(ctx.function, ctx.needed, wanted, ctx.saved_tensors, cotangents)
        by_input = dict(zip(wanted, gradients))
        return None, None, *(by_input.get(i) for i in range(len(ctx.needed)))


class InnerProduct(torch.autograd.Function):
    """Stands for the sum of outputs times cotangents, and lets go of these when differentiated."""

    @staticmethod
    def forward(ctx, cotangents, *outputs):
        ctx.cotangents = cotangents
        return torch.empty((), device=outputs[0].device)

    @staticmethod
    def backward(ctx, _):
        cotangents = tuple(ctx.cotangents)
        ctx.cotangents.clear()
        return None, *cotangents


def pull_back(function, needed, wanted, inputs, cotangents):
    """Gradients of the outputs times the cotangents, which are emptied, by the wanted inputs."""
    create_graph = torch.is_grad_enabled()
    inputs = [tensor if create_graph else tensor.detach() for tensor in inputs]
    for i, needs_grad in enumerate(needed):
        if needs_grad and not inputs[i].requires_grad:
            inputs[i] = inputs[i].detach().requires_grad_()
    with torch.enable_grad():
        outputs = function(*inputs)
        reached = [i for i in cotangents if outputs[i] is not None and outputs[i].requires_grad]
        if not reached:
            return [None] * len(wanted)
        product = InnerProduct.apply(
            [cotangents[i] for i in reached], *(outputs[i] for i in reached)
        )
        cotangents.clear()
        del outputs
        wrt = [inputs[i] for i in wanted]
        return torch.autograd.grad(product, wrt, create_graph=create_graph, allow_unused=True)


def pull_back_again(function, needed, wanted, inputs, cotangents):
    """The same, as outputs of a node that keeps nothing but inputs and cotangents either."""
    given, count = list(cotangents), len(inputs)
    arguments = [*inputs, *cotangents.values()]

    def gradient(*arguments):
        return pull_back(
            function, needed, wanted, arguments[:count], dict(zip(given, arguments[count:]))
        )

    with torch.no_grad():
        values = gradient(*arguments)
    values = [None if value is None else value.detach() for value in values]
    present = [i for i, value in enumerate(values) if value is not None]

    def present_gradients(*arguments):
        gradients = gradient(*arguments)
        return [gradients[i] for i in present]

    if present:
        outputs = Rematerialized.apply(present_gradients, [values[i] for i in present], *arguments)
        for i, output in zip(present, outputs):
            values[i] = output
    return values'''

_THROUGH_TANGENTS = '''\
def rematerialize(function, *inputs, again=None):
    """The output of a function of tensors that have tangents; no gradient keeps more than these.

    Whenever a gradient needs the rest, `again` or else the function is evaluated once more.
    """
    again, count = again or function, len(inputs)
    numbers, tangents = zip(*map(forward_ad.unpack_dual, inputs))
    moving = [i for i, tangent in enumerate(tangents) if tangent is not None]
    with torch.no_grad():
        (output,) = function(*inputs)
    values = [part.detach() for part in forward_ad.unpack_dual(output) if part is not None]

    def number_and_tangent(*tensors):
        inputs = list(tensors[:count])
        with forward_ad.dual_level():
            for i, tangent in zip(moving, tensors[count:]):
                inputs[i] = forward_ad.make_dual(inputs[i], tangent)
            (output,) = again(*inputs)
            return [part for part in forward_ad.unpack_dual(output) if part is not None]

    kept = *numbers, *(tangents[i] for i in moving)
    found = Rematerialized.apply(number_and_tangent, values, *kept)
    return (forward_ad.make_dual(*found),) if len(found) > 1 else found'''

_WITH_TANGENTS = '''\
def rematerialize(function, *inputs, again=None):
    """The output of a function of tensors that have tangents; its gradient keeps these alone.

    When the gradient needs the rest, `again` or else the function is evaluated once more.
    """
    numbers, tangents = zip(*map(forward_ad.unpack_dual, inputs))
    moving = [i for i, tangent in enumerate(tangents) if tangent is not None]
    with torch.no_grad():
        (output,) = function(*inputs)
    values = [part.detach() for part in forward_ad.unpack_dual(output) if part is not None]
    kept = *numbers, *(tangents[i] for i in moving)
    found = Rematerialized.apply(again or function, values, moving, *kept)
    return (forward_ad.make_dual(*found),) if len(found) > 1 else found


class Rematerialized(torch.autograd.Function):
    """A value and its tangent, which were computed elsewhere, and how to compute it again."""

    boxed_grads_call = True  # the cotangents come in a list that can be emptied early

    @staticmethod
    def forward(ctx, function, values, moving, *inputs):
        ctx.set_materialize_grads(False)
        ctx.function, ctx.moving = function, moving
        ctx.needed = [tensor.requires_grad for tensor in inputs]
        ctx.save_for_backward(*inputs)
        return tuple(values)

    @staticmethod
    def backward(ctx, *received):
        """The gradient and its tangent: it is differentiated once more, in reverse."""
        boxed = received[0] if isinstance(received[0], list) else list(received)
        cotangent = boxed[0]
        boxed.clear()
        kept, count = ctx.saved_tensors, len(ctx.needed) - len(ctx.moving)
        inputs = [t.detach().requires_grad_(n) for t, n in zip(kept[:count], ctx.needed)]
        wanted = [i for i in range(count) if ctx.needs_input_grad[3 + i]]
        directions = dict(zip(ctx.moving, kept[count:]))
        with torch.enable_grad():
            (output,) = ctx.function(*inputs)
            number, tangent = forward_ad.unpack_dual(cotangent)
            gradients = torch.autograd.grad(
                output, [inputs[i] for i in wanted], number, create_graph=True, allow_unused=True
            )
            terms = [] if tangent is None else [(output, tangent)]
            for i, gradient in zip(wanted, gradients):
                if i in directions and gradient is not None and gradient.requires_grad:
                    terms.append((gradient, directions[i]))
            tangents = [None] * len(wanted)
            if terms:
                slopes, along = zip(*terms)
                tangents = torch.autograd.grad(
                    slopes, [inputs[i] for i in wanted], along, allow_unused=True
                )
        found = {}
        for i, gradient, tangent in zip(wanted, gradients, tangents):
            if gradient is not None:
                gradient = gradient.detach()
                found[i] = gradient if tangent is None else forward_ad.make_dual(gradient, tangent)
        return None, None, None, *(found.get(i) for i in range(len(ctx.needed)))'''

REMATERIALIZE = {
    "none": f"{_FUNCTION}\n\n\n{_NODES}",
    "inside": f"{_THROUGH_TANGENTS}\n\n\n{_NODES}",
    "outside": _WITH_TANGENTS,
}
"""By where tangents are carried."""

REPLAYED_ON_CPU = '''\
def replayed(function):
    """The function with the random numbers that it would draw at this moment."""
    state = torch.get_rng_state()

    def again(*tensors):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)
            return function(*tensors)

    return again'''

REPLAYED = '''\
def replayed(function):
    """The function with the random numbers that it would draw at this moment."""
    generators = {torch, torch if DEVICE.type == "cpu" else torch.get_device_module(DEVICE)}
    states = {generator: generator.get_rng_state() for generator in generators}

    def again(*tensors):
        before = {generator: generator.get_rng_state() for generator in generators}
        for generator, state in states.items():
            generator.set_rng_state(state)
        try:
            return function(*tensors)
        finally:
            for generator, state in before.items():
                generator.set_rng_state(state)

    return again'''
