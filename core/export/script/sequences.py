"""Layers over sequences in PyTorch: functions that the script defines, and how it calls them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core.spec import layers as spec
from core.spec.derivation import Derivation
from core.spec.layers import LayerSpec

ALL_WEIGHTS = "*all"
"""Stands for all of a layer's own tensors among its arguments."""

UNCHAINED = ("multihead_attention", "lstm", "gru")
"""Kinds whose modules return more than their output, so that no ``nn.Sequential`` holds them."""


def attention_arguments(layer: spec.MultiheadAttention) -> tuple[str, ...]:
    """What ``attention`` is called with, its weights by their positions."""
    return ("x", *_all(2, layer.bias), *_settings(heads=layer.num_heads, p=layer.dropout))


def encoder_arguments(layer: spec.TransformerEncoderLayer) -> tuple[str, ...]:
    """What ``encoder_layer`` is called with, its weights by their positions."""
    settings = _settings(heads=layer.nhead, p=layer.dropout, eps=layer.layer_norm_eps)
    activation = (f"activation=F.{layer.activation}",)
    first = ("norms_first=True",) if layer.norm_first else ()
    return ("x", *_all(6, layer.bias), *settings, *activation, *first)


def recurrent_arguments(layer: spec.LSTM | spec.GRU) -> tuple[str, ...]:
    """What ``lstm`` and ``gru`` are called with, their weights by their positions."""
    form = (layer.hidden_size, layer.num_layers, layer.bias, layer.bidirectional)
    return ("x", *map(str, form), ALL_WEIGHTS)


def _all(parts: int, bias: bool) -> Iterator[str]:
    """A weight and a bias for each part of a layer, or None for the bias."""
    if bias:
        yield ALL_WEIGHTS
    for part in range(0 if bias else parts):
        yield from (f"{{{part}}}", "None")


def _settings(**values: float) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in values.items())


def definitions(
    layers: Iterable[LayerSpec], way: Derivation, device: str, *, is_cast: bool
) -> list[str]:
    """The sources of the functions that layers over sequences are computed by.

    Args:
        layers: of the network.
        way: how its output is differentiated.
        device: as in the spec.
        is_cast: whether the forward pass is under autocast.
    """
    kinds = {layer.kind for layer in layers}
    found = []
    if kinds & {"multihead_attention", "transformer_encoder_layer"}:
        rewritten = way.rewrites("multihead_attention")
        torchs = _MATH_ATTENTION if way.by_math_kernel else _ATTENTION
        found.append(_WRITTEN_OUT_ATTENTION if rewritten else torchs)
    if "multihead_attention" in kinds:
        found.append(_BATCH_FIRST_ATTENTION)
    if "transformer_encoder_layer" in kinds:
        found.append(_REWRITTEN_ENCODER if way.rewrites("layer_norm") else _ENCODER)
    recurrent = sorted(kinds & {"lstm", "gru"})
    if recurrent and way.order >= 2 and device != "cpu":
        found.append(_STEP_BY_STEP)
    for kind in recurrent:
        found += _recurrent(kind, way, device, is_cast=is_cast)
    return found


def _recurrent(kind: str, way: Derivation, device: str, *, is_cast: bool) -> Iterator[str]:
    is_processor, is_open = device == "cpu", device == "auto"
    by_steps = way.order >= 2 and not is_processor
    if by_steps:
        yield _CELLS[kind]
    if is_processor or is_open or not by_steps:
        yield _STATES[kind]
    torchs = f"    states = {kind}_states(x, weights, hidden, layers, bias, both_ways)\n"
    steps = f"    states = step_by_step(x, weights, {kind}_cell, {_NUMBER[kind]}, hidden, layers, "
    steps += "both_ways)\n"
    if way.order >= 2 and kind == "lstm":
        torchs = f"{_OFF}{torchs}{_ON}"
    elif kind == "lstm" and is_cast and (is_processor or is_open):
        yield _CASTS
        torchs = f"{_OFF_WITHOUT_BFLOAT16}{torchs}{_ON}"
    body = torchs if not by_steps else steps
    if by_steps and is_open:
        body = f'    if x.device.type == "cpu":\n{_indented(torchs)}    else:\n{_indented(steps)}'
    yield _HEAD.format(kind=kind, title=kind.upper()) + body + "    return states.contiguous()"


def _indented(lines: str) -> str:
    return "".join(f"    {line}\n" for line in lines.splitlines())


_SIGNATURE = "def self_attention(x, in_weight, in_bias, out_weight, out_bias, heads, p):"
_CALL = """\
output, _ = F.multi_head_attention_forward(
    sequence, sequence, sequence, x.shape[-1], heads, in_weight, in_bias, None, None, False,
    p, out_weight, out_bias, need_weights=False,
)
"""
_ATTENTION = f'''\
{_SIGNATURE}
    """What nn.MultiheadAttention computes of a sequence alone; p is its dropout."""
    sequence = x.transpose(0, 1)
{_indented(_CALL)}    return output.transpose(0, 1)'''

_MATH_ATTENTION = f'''\
{_SIGNATURE}
    """What nn.MultiheadAttention computes of a sequence alone; p is its dropout."""
    sequence = x.transpose(0, 1)
    # The fused kernels have no second derivative (pytorch/pytorch#116350).
    with sdpa_kernel(SDPBackend.MATH):
{_indented(_indented(_CALL))}    return output.transpose(0, 1)'''

_WRITTEN_OUT_ATTENTION = f'''\
{_SIGNATURE}
    """Self-attention, written out, since torch's softmax does not stand tangents."""
    projected = F.linear(x, in_weight, in_bias).view(*x.shape[:2], 3, heads, -1)
    query, key, value = projected.permute(2, 0, 3, 1, 4).unbind()
    scores = query @ key.transpose(-2, -1)
    scores = torch.ops.aten.div.Scalar(scores, math.sqrt(key.shape[-1]))  # "/" would keep a tensor
    shares = torch.exp(scores - scores.detach().amax(-1, keepdim=True))
    shares = F.dropout(shares / shares.sum(-1, keepdim=True), p)
    found = (shares @ value).permute(2, 0, 1, 3).flatten(2)
    return F.linear(found, out_weight, out_bias).transpose(0, 1)'''

_BATCH_FIRST_ATTENTION = '''\
def attention(x, *weights, heads, p):
    """Self-attention whose output lies in memory example by example."""
    return self_attention(x, *weights, heads, p).contiguous()'''

_ENCODER = '''\
def encoder_layer(
    x, in_weight, in_bias, out_weight, out_bias, weight_1, bias_1, weight_2, bias_2,
    scale_1, offset_1, scale_2, offset_2, heads, p, eps, activation, norms_first=False,
):
    """What nn.TransformerEncoderLayer computes; p is its dropout."""

    def attended(x):
        found = self_attention(x, in_weight, in_bias, out_weight, out_bias, heads, p)
        return F.dropout(found, p)

    def fed(x):
        between = activation(F.linear(x, weight_1, bias_1))
        output = F.linear(F.dropout(between, p), weight_2, bias_2)
        return F.dropout(output, p)

    def normal(x, scale, offset):
        return F.layer_norm(x, x.shape[-1:], scale, offset, eps)

    if norms_first:
        x = x + attended(normal(x, scale_1, offset_1))
        return x + fed(normal(x, scale_2, offset_2))
    x = normal(x + attended(x), scale_1, offset_1)
    return normal(x + fed(x), scale_2, offset_2)'''

_REWRITTEN_ENCODER = _ENCODER.replace("F.layer_norm(x, x.shape[-1:],", "normalize(x, (2,),")

_HEAD = '''\
def {kind}(x, hidden, layers, bias, both_ways, *weights):
    """The states of the {title} at all steps, in memory example by example."""
'''
_OFF = "    torch.backends.mkldnn.enabled = False  # oneDNN's own is differentiated once\n"
_CASTS = '''\
def onednn_takes_bfloat16():
    """Not without AVX-512: there autocast needs torch's own LSTM."""
    available = torch.backends.mkldnn.is_available()
    return available and torch.ops.mkldnn._is_mkldnn_bf16_supported()'''
_OFF_WITHOUT_BFLOAT16 = "    torch.backends.mkldnn.enabled = onednn_takes_bfloat16()\n"
_ON = "    torch.backends.mkldnn.enabled = True\n"

_ZEROS = "torch.zeros(count, len(x), hidden, dtype=x.dtype, device=x.device)"
_STATES = {
    "lstm": f'''\
def lstm_states(x, weights, hidden, layers, bias, both_ways):
    """What nn.LSTM computes."""
    count = layers * (1 + both_ways)
    state = {_ZEROS}
    memory = {_ZEROS}
    settings, x = (bias, layers, 0.0, True, both_ways, False), x.transpose(0, 1).contiguous()
    return torch._VF.lstm(x, (state, memory), weights, *settings)[0].transpose(0, 1)''',
    "gru": f'''\
def gru_states(x, weights, hidden, layers, bias, both_ways):
    """What nn.GRU computes."""
    count = layers * (1 + both_ways)
    state = {_ZEROS}
    settings, x = (bias, layers, 0.0, True, both_ways, False), x.transpose(0, 1).contiguous()
    return torch._VF.gru(x, state, weights, *settings)[0].transpose(0, 1)''',
}

_NUMBER = {"lstm": 2, "gru": 1}
_CELLS = {
    "lstm": '''\
def lstm_cell(given, remembered, state):
    """One step: the next state, and the next memory."""
    let_in, forget, new, let_out = (given + remembered).chunk(4, -1)
    memory = torch.sigmoid(forget) * state[1] + torch.sigmoid(let_in) * torch.tanh(new)
    return torch.sigmoid(let_out) * torch.tanh(memory), memory''',
    "gru": '''\
def gru_cell(given, remembered, state):
    """One step: the next state."""
    given_reset, given_keep, given_new = given.chunk(3, -1)
    reset, keep, new = remembered.chunk(3, -1)
    reset, keep = torch.sigmoid(given_reset + reset), torch.sigmoid(given_keep + keep)
    new = torch.tanh(given_new + reset * new)
    return (new + keep * (state[0] - new),)''',
}

_STEP_BY_STEP = '''\
def step_by_step(x, weights, cell, states, hidden, layers, both_ways):
    """Written out: an accelerator's own has no second derivative (pytorch/pytorch#5261)."""

    def one_way(x, by_input, by_state, input_bias=None, state_bias=None, backwards=False):
        given = F.linear(x, by_input, input_bias).unbind()
        state = (torch.zeros(x.shape[1], hidden, dtype=x.dtype, device=x.device),) * states
        outputs = []
        for step in reversed(given) if backwards else given:
            state = cell(step, F.linear(state[0], by_state, state_bias), state)
            outputs.append(state[0])
        return torch.stack(outputs[::-1] if backwards else outputs)

    x, each = x.transpose(0, 1), len(weights) // (layers * (1 + both_ways))
    own = iter(weights[i : i + each] for i in range(0, len(weights), each))
    for _ in range(layers):
        ways = [one_way(x, *next(own))]
        if both_ways:
            ways.append(one_way(x, *next(own), backwards=True))
        x = torch.cat(ways, -1) if both_ways else ways[0]
    return x.transpose(0, 1)'''
