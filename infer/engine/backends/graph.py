"""The network as ONNX graphs, in the form that CPU runtimes compute fastest. Written node by node: a second, no tracer.

Four graphs of any length: `encode` (embedded tokens -> prior and plain durations), `flow`, and the two parts of the
decoder, `head` and `tail`. Layout is [1, channels, 1, time]: 2-D convolutions of height 1 run in blocked memory, 1-D
ones do not. The function is that of models/, cheaper: q, k and v are one product, the scale is in q's weights, the
flips of the flow and the mean over residual blocks are in the weights that follow, and wide convolutions are Toom-Cook
products (see `_toom`).
"""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache, reduce
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from models import Synthesizer
from models.duration import DurationPredictor
from models.encoder import SPEAKER_LAYER, WINDOW, AttentionStack, ChannelNorm, FeedForward, RelativeAttention
from models.filter import LOUDEST, QUIETEST, Filter, MinimumPhase
from models.flow import WaveNetStack
from models.generator import LAST_SLOPE, SLOPE, Generator, ResBlock1

Layer = Any  # nn.ModuleList does not tell what it holds
OPSET = 17
PARTS = ("encode", "flow", "head", "tail")
TILE = 6  # outputs of one Toom-Cook product
WORTH = 380  # input channels times kernel from which it is faster than the plain convolution, as measured


def export(network: Synthesizer, part: str, multiple: int = 1, toom: bool = True) -> bytes:
    """A graph of PARTS, serialised. `multiple`: what divides every number of frames that the decoder will be given.

    encode: hidden [1, H, 1, T], mask [1, 1, 1, T], speaker [1, G, 1, 1] -> x [1, H, 1, T], mean, log_std [1, I, 1, T],
    log_durations [1, 1, 1, T]; flow: z_p [1, I, 1, F], mask, speaker -> z; head: z, speaker -> x (as the decoder's);
    tail: x -> wave [1, 1, 1, F * hop]. toom: with Toom-Cook products, for CPUs.
    """
    config, graph = network.config, Graph(toom)
    hidden, latent, speaker = config.hidden_channels, config.inter_channels, config.gin_channels
    if part == "encode":
        x, mask, g = graph.input("hidden", hidden), graph.input("mask", 1), graph.input("speaker", speaker, 1)
        x = attention_stack(graph, network.enc_p.encoder, x, mask, g)
        prior = graph("Mul", graph.conv(x, network.enc_p.proj), mask)
        mean, log_std = graph.split(prior, 2)
        durations = duration_predictor(graph, network.dp, x, mask, g)
        return graph.serialised(x=x, mean=mean, log_std=log_std, log_durations=durations)
    if part == "flow":
        x, mask, g = graph.input("z_p", latent), graph.input("mask", 1), graph.input("speaker", speaker, 1)
        return graph.serialised(z=flow(graph, network, x, mask, g))
    if part == "head":
        z, g = graph.input("z", latent + config.source_channels), graph.input("speaker", speaker, 1)
        first: Callable[..., str] = filter_head if config.pitch else head
        return graph.serialised(x=first(graph, network.dec, z, g, multiple))
    x = graph.input("x", config.head_channels)
    dec: Any = network.dec
    wave = filter_tail(graph, dec, x) if config.pitch else tail(graph, dec, x, multiple)
    return graph.serialised(wave=wave)


class Graph:
    """Collects nodes. Calling it adds one and gives the name of its output; arrays become constants."""

    def __init__(self, toom: bool) -> None:
        self.toom = toom
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._small: dict[tuple, str] = {}  # constants that come often, by content

    def input(self, name: str, channels: int, length: int | str = "time") -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 1, length]))
        return name

    def __call__(self, kind: str, *inputs: object, outputs: int = 1, **attributes: Any) -> Any:
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        made = [f"n{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, names, made, **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, value: object) -> str:
        if isinstance(value, Tensor):
            value = value.detach().float().numpy()
        array = np.asarray(value, dtype=np.int64 if isinstance(value, list | int) else np.float32)
        key = (array.shape, array.dtype, array.tobytes()) if array.size < 64 else None
        if key not in self._small or key is None:
            name = f"c{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            if key is None:
                return name
            self._small[key] = name
        return self._small[key]

    def split(self, x: str, parts: int, axis: int = 1) -> list[str]:
        """Equal parts."""
        return self("Split", x, axis=axis, outputs=parts)

    def conv(self, x: str, layer: Layer, scale: float = 1.0, multiple: int = 1) -> str:
        """A convolution over time with the layer's padding. scale: of what comes in. multiple: divides its length."""
        (dilation,), (padding,) = layer.dilation, layer.padding
        weight = layer.weight.detach().float().numpy() * scale
        return self.convolve(x, weight, layer.bias, dilation, (padding, padding), layer.groups, multiple)

    def convolve(
        self,
        x: str,
        weight: np.ndarray,
        bias: Tensor | np.ndarray | None,
        dilation: int = 1,
        padding: tuple[int, int] = (0, 0),
        groups: int = 1,
        multiple: int = 1,
    ) -> str:
        _, channels, kernel = weight.shape
        same = sum(padding) == (kernel - 1) * dilation and padding[0] == (kernel - 1) // 2 * dilation
        fits = multiple % dilation == 0 and kernel > 1
        if self.toom and groups == 1 and same and fits and channels * kernel >= WORTH:
            return self._toom(x, weight, bias, dilation, sliced=multiple % (TILE * dilation) > 0)
        pads = [0, padding[0], 0, padding[1]]
        biases = () if bias is None else (bias,)
        return self("Conv", x, weight[:, :, None], *biases, dilations=[1, dilation], pads=pads, group=groups)

    def _toom(self, x: str, weight: np.ndarray, bias: Any, dilation: int, sliced: bool) -> str:
        """The same convolution by evaluation and interpolation of polynomials (Toom 1963, Cook 1966, Winograd 1980).

        Six outputs of r taps take r + 5 products instead of 6 r. A longer kernel is cut to blocks of six taps: their
        inputs are the neighbouring tiles, already evaluated, so a block is one tap of a convolution over tiles. Each
        evaluation point is a group of that convolution. With dilation d the time is seen as rows of d samples, where
        it is 1. The bias goes in at the point 1, from where every output takes it once. sliced: the last tile may
        hold more than there is.
        """
        out, channels, kernel = weight.shape
        taps = kernel if kernel <= 7 else TILE
        blocks = -(-kernel // taps)
        products, evaluate, interpolate = _toom_matrices(taps)
        n = len(evaluate)
        padded = np.pad(weight, ((0, 0), (0, 0), (0, blocks * taps - kernel))).reshape(out, channels, blocks, taps)
        kernels = (padded @ products.T).transpose(3, 0, 1, 2).reshape(n * out, channels, blocks)
        biases = np.zeros((n, out), np.float32)
        if bias is not None:
            biases[1] = bias.detach().float().numpy()
        before = (kernel - 1) // 2
        after = TILE * blocks + taps - 2 - before  # enough for a last tile that is not full
        if dilation == 1:  # rows of one sample would make the inner loop as short
            shape, step, pads, tiles = [channels, 1, 1, -1], [1, TILE], [0, before, 0, after], (1, -1)
            evaluate, kernels = evaluate[:, None, None, :], kernels[:, :, None, :]
        else:
            shape, step, pads, tiles = [channels, 1, -1, dilation], [TILE, 1], [before, 0, after, 0], (-1, dilation)
            evaluate, kernels = evaluate[:, None, :, None], kernels[:, :, :, None]
        y = self("Conv", self("Reshape", x, shape), evaluate, strides=step, pads=pads)  # [channels, n, tiles]
        y = self("Reshape", self("Transpose", y, perm=[1, 0, 2, 3]), [1, n * channels, *tiles])
        y = self("Conv", y, kernels, biases.flatten(), group=n)
        y = self("MatMul", interpolate, self("Reshape", y, [n, -1]))  # [TILE, out * tiles]
        y = self("Transpose", self("Reshape", y, [TILE, out, -1, dilation]), perm=[1, 2, 0, 3])
        y = self("Reshape", y, [1, out, 1, -1])
        return self("Slice", y, [0], self("Shape", x, start=3), [3]) if sliced else y

    def norm(self, x: str, layer: ChannelNorm) -> str:
        rows = self("Transpose", x, perm=[0, 2, 3, 1])
        rows = self("LayerNormalization", rows, layer.gamma, layer.beta, epsilon=1e-5)
        return self("Transpose", rows, perm=[0, 3, 1, 2])

    def serialised(self, **outputs: str) -> bytes:
        """The graph with these results, checked."""
        for name, value in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "bert-vits2", self.inputs, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 9
        return model.SerializeToString()


@cache
def _toom_matrices(taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For y[i] = sum of g[j] d[i + j], i < 6: y = C ((A g) * (B d)) with A [n, taps], B [n, n], C [6, n], n = taps + 5.

    The points are small fractions and infinity, chosen among many for the least error: 1e-6 to 8e-6 of the result in
    float32. The matrices themselves are exact up to the last step.
    """
    n = taps + TILE - 1
    points = [Fraction(p) for p in "0 1 -1 2 -2 1/2 -1/2 3/4 -4/3 4 -1/4".split()][: n - 1]

    def powers(count: int) -> list[list[Fraction]]:
        return [[p**i for i in range(count)] for p in points] + [[Fraction(i == count - 1) for i in range(count)]]

    square = np.array(powers(n), dtype=object)
    inverse = np.array([[Fraction(i == j) for j in range(n)] for i in range(n)], dtype=object)
    for i in range(n):  # Gauss and Jordan, in fractions
        pivot = next(row for row in range(i, n) if square[row, i])
        square[[i, pivot]], inverse[[i, pivot]] = square[[pivot, i]], inverse[[pivot, i]]
        inverse[i], square[i] = inverse[i] / square[i, i], square[i] / square[i, i]
        for row in set(range(n)) - {i}:
            factor = square[row, i]
            inverse[row], square[row] = inverse[row] - factor * inverse[i], square[row] - factor * square[i]
    evaluate = inverse.T
    size = np.abs(evaluate).max(axis=1)[:, None]  # so that neither side is much larger than the other
    products, evaluate = np.array(powers(taps), dtype=object) * size, evaluate / size
    collect = np.array(powers(TILE), dtype=object).T
    return products.astype(np.float32), evaluate.astype(np.float32), collect.astype(np.float32)


def attention_stack(graph: Graph, stack: AttentionStack, x: str, mask: str, speaker: str) -> str:
    """models.encoder.AttentionStack; masked keys get a score that no softmax sees."""
    far = graph("Mul", graph("Sub", mask, 1.0), 1e4)
    length = graph("Shape", mask, start=3)
    x = graph("Mul", x, mask)
    layers: Iterable[Any] = zip(
        stack.attn_layers, stack.norm_layers_1, stack.ffn_layers, stack.norm_layers_2, strict=True
    )
    for i, (attend, norm_1, feed, norm_2) in enumerate(layers):
        if i == SPEAKER_LAYER:
            linear = stack.spk_emb_linear
            condition = graph.convolve(speaker, linear.weight.detach().float().numpy()[:, :, None], linear.bias)
            x = graph("Mul", graph("Add", x, condition), mask)
        x = graph.norm(graph("Add", x, _attention(graph, attend, x, far, length)), norm_1)
        x = graph.norm(graph("Add", x, _feed_forward(graph, feed, x, mask)), norm_2)
    return graph("Mul", x, mask)


def _attention(graph: Graph, layer: RelativeAttention, x: str, far: str, length: str) -> str:
    """Scores are q k and, in a band of nine, q e; the band is laid out as in models.encoder."""
    heads, width = layer.n_heads, layer.conv_q.out_channels // layer.n_heads
    factors = (width**-0.5, 1.0, 1.0)
    convs = layer.conv_q, layer.conv_k, layer.conv_v
    weight, bias = (
        np.concatenate([getattr(c, name).detach().float().numpy() * f for c, f in zip(convs, factors, strict=True)])
        for name in ("weight", "bias")
    )
    qkv = graph("Reshape", graph.convolve(x, weight, bias), [3, heads, width, -1])
    q, k, v = graph.split(qkv, 3, axis=0)
    q, v = (graph("Transpose", t, perm=[0, 1, 3, 2]) for t in (q, v))
    band = graph("MatMul", q, layer.emb_rel_k.detach().mT)  # [1, heads, T, 9]
    scores = graph("Add", graph("MatMul", q, k), _band_to_square(graph, band, length))
    weights = graph("Softmax", graph("Add", scores, far), axis=-1)
    out = graph("MatMul", weights, v)
    out = graph("Add", out, graph("MatMul", _square_to_band(graph, weights, length), layer.emb_rel_v))
    out = graph("Reshape", graph("Transpose", out, perm=[0, 1, 3, 2]), [1, heads * width, 1, -1])
    return graph.conv(out, layer.conv_o)


def _band_to_square(graph: Graph, band: str, length: str) -> str:
    rows = graph("Pad", band, graph("Concat", [0] * 7, length, axis=0))  # [1, heads, T, 9 + T]
    longer = graph("Add", length, [2 * WINDOW])
    rows = graph("Reshape", rows, [0, 0, -1])
    rows = graph("Slice", rows, [0], graph("Mul", length, longer), [2])
    rows = graph("Reshape", rows, graph("Concat", [0, 0, -1], longer, axis=0))
    return graph("Slice", rows, [WINDOW], graph("Add", length, [WINDOW]), [3])


def _square_to_band(graph: Graph, square: str, length: str) -> str:
    rows = graph("Reshape", graph("Pad", square, [0, 0, 0, WINDOW, 0, 0, 0, WINDOW]), [0, 0, -1])
    rows = graph("Pad", rows, graph("Concat", [0] * 5, length, axis=0))
    rows = graph("Reshape", rows, graph("Concat", [0, 0, -1], graph("Add", length, [2 * WINDOW + 1]), axis=0))
    return graph("Slice", rows, [0], [2 * WINDOW + 1], [3])


def _feed_forward(graph: Graph, layer: FeedForward, x: str, mask: str) -> str:
    for conv in (layer.conv_1, layer.conv_2):
        weight = conv.weight.detach().float().numpy()
        x = graph.convolve(graph("Mul", x, mask), weight, conv.bias, padding=layer.pad)
        x = graph("Relu", x) if conv is layer.conv_1 else x
    return graph("Mul", x, mask)


def duration_predictor(graph: Graph, layer: DurationPredictor, x: str, mask: str, speaker: str) -> str:
    """models.duration.DurationPredictor: log frames."""
    x = graph("Add", x, graph.conv(speaker, layer.cond))
    for conv, norm in ((layer.conv_1, layer.norm_1), (layer.conv_2, layer.norm_2)):
        x = graph.norm(graph("Relu", graph.conv(graph("Mul", x, mask), conv)), norm)
    return graph("Mul", graph.conv(graph("Mul", x, mask), layer.proj), mask)


def flow(graph: Graph, network: Synthesizer, z_p: str, mask: str, speaker: str) -> str:
    """models.flow.Flow. Nothing is flipped: every other coupling reads and writes the halves the other way round."""
    first, second = graph.split(z_p, 2)
    flipped = False
    couplings: list[Any] = [*network.flow.flows.values()]
    for coupling in reversed(couplings):
        flipped = not flipped
        source, target = (second, first) if flipped else (first, second)
        order = slice(None, None, -1 if flipped else 1)
        pre, post = (layer.weight.detach().float().numpy() for layer in (coupling.pre, coupling.post))
        h = graph("Mul", graph.convolve(source, pre[:, order], coupling.pre.bias), mask)
        encode = wavenet_stack if isinstance(coupling.enc, WaveNetStack) else attention_stack
        h = encode(graph, coupling.enc, h, mask, speaker)
        shift = graph.convolve(h, post[order], coupling.post.bias.detach().float().numpy()[order])
        target = graph("Mul", graph("Sub", target, shift), mask)
        first, second = (target, source) if flipped else (source, target)
    z = graph("Concat", first, second, axis=1)
    if flipped:
        z = graph("Gather", z, list(range(network.config.inter_channels))[::-1], axis=1)
    return graph("Mul", z, mask)


def wavenet_stack(graph: Graph, stack: WaveNetStack, x: str, mask: str, speaker: str) -> str:
    """models.flow.WaveNetStack."""
    conditions = graph.split(graph.conv(speaker, stack.cond_layer), len(stack.in_layers))
    conditions = [conditions] if isinstance(conditions, str) else conditions
    out = None
    layers: Iterable[Any] = zip(stack.in_layers, stack.res_skip_layers, conditions, strict=True)
    for layer, res_skip, condition in layers:
        filtered, gate = graph.split(graph("Add", graph.conv(x, layer), condition), 2)
        result = graph.conv(graph("Mul", graph("Tanh", filtered), graph("Sigmoid", gate)), res_skip)
        if res_skip.out_channels > stack.hidden:
            residual, result = graph.split(result, 2)
            x = graph("Mul", graph("Add", x, residual), mask)
        out = result if out is None else graph("Add", out, result)
    return graph("Mul", out, mask)


def head(graph: Graph, dec: Generator, z: str, speaker: str, multiple: int) -> str:
    """models.generator.Generator.head."""
    x = graph("Add", graph.conv(z, dec.conv_pre, multiple=multiple), graph.conv(speaker, dec.cond))
    return graph("Mul", _stage(graph, dec, 0, x, multiple), 1 / dec.n_kernels)


def tail(graph: Graph, dec: Generator, x: str, multiple: int) -> str:
    """Generator.tail. A sum of n blocks goes on, not their mean: the ReLU lets 1 / n through to the next weights."""
    for i in range(1, len(dec.rates)):
        x = _stage(graph, dec, i, x, multiple * math.prod(dec.rates[:i]), 1 / dec.n_kernels if i > 1 else 1.0)
    x = graph("LeakyRelu", x, alpha=LAST_SLOPE)
    return graph("Tanh", graph.conv(x, dec.conv_post, scale=1 / dec.n_kernels if len(dec.rates) > 1 else 1.0))


def _stage(graph: Graph, dec: Generator, i: int, x: str, multiple: int, scale: float = 1.0) -> str:
    """The sum of a stage's residual blocks. scale: of what comes in. multiple: divides its length."""
    up: Any = dec.ups[i]
    (rate,), (padding,) = up.stride, up.padding
    weight = up.weight.detach().float().numpy()[:, :, None] * scale
    x = graph("LeakyRelu", x, alpha=SLOPE)
    x = graph("ConvTranspose", x, weight, up.bias, strides=[1, rate], pads=[0, padding, 0, padding])
    blocks: Iterable[Any] = dec.resblocks[i * dec.n_kernels : (i + 1) * dec.n_kernels]
    return reduce(lambda a, b: graph("Add", a, b), [_block(graph, b, x, multiple * rate) for b in blocks])


def _block(graph: Graph, block: Any, x: str, multiple: int) -> str:
    pairs = (
        zip(block.convs1, block.convs2, strict=True) if isinstance(block, ResBlock1) else ((c,) for c in block.convs)
    )
    for convs in pairs:
        y = x
        for conv in convs:
            y = graph.conv(graph("LeakyRelu", y, alpha=SLOPE), conv, multiple=multiple)
        x = graph("Add", x, y)
    return x


def filter_head(graph: Graph, dec: Filter, z: str, speaker: str, multiple: int) -> str:
    """models.filter.Filter.head."""
    steps, samples = dec.rates
    z, source = graph("Split", z, [dec.latent, 2 * steps * samples], axis=1, outputs=2)
    x = graph("Add", graph.conv(z, dec.conv_pre, multiple=multiple), graph.conv(speaker, dec.cond))
    for block in dec.blocks:
        x = _block(graph, block, x, multiple)
    x = graph.conv(graph("LeakyRelu", x, alpha=SLOPE), dec.conv_post)
    x = graph("Transpose", graph("Reshape", x, [steps, sum(dec.bins), -1]), perm=[1, 2, 0])
    x = graph("Reshape", x, [1, sum(dec.bins), 1, -1])
    return graph("Concat", x, _finer(graph, source, steps, samples), axis=1)


def filter_tail(graph: Graph, dec: Filter, x: str) -> str:
    """Filter.tail."""
    step = dec.rates[1]
    *filters, source = graph("Split", x, [*dec.bins, 2 * step], axis=1, outputs=3)
    waves = graph.split(_finer(graph, source, step, 1), 2)
    phases = dec.phase, None
    filtered = [_filtered(graph, *each) for each in zip(dec.transforms, waves, filters, phases, strict=True)]
    return graph("Clip", graph("Add", *filtered), -1.0, 1.0)


def _filtered(graph: Graph, transform: Layer, wave: str, logs: str, phase: MinimumPhase | None) -> str:
    """models.filter.Transform.filtered, of log magnitudes and their phase."""
    padding, bins = (transform.window - transform.step) // 2, transform.window // 2 + 1
    how: dict[str, Any] = {"strides": [1, transform.step], "pads": [0, padding, 0, padding]}
    spectrum = graph("Reshape", graph("Conv", wave, transform.forth[:, :, None], **how), [2, bins, 1, -1])
    logs = graph("Min", logs, LOUDEST)
    magnitudes = graph("Exp", logs)
    if phase:
        angle = graph("Conv", graph("Max", logs, QUIETEST), phase.matrix[:, :, None])
        x, y = (graph("Mul", magnitudes, graph(turn, angle)) for turn in ("Cos", "Sin"))
        real, imaginary = graph.split(spectrum, 2, axis=0)
        real, imaginary = (
            graph("Sub", graph("Mul", real, x), graph("Mul", imaginary, y)),
            graph("Add", graph("Mul", real, y), graph("Mul", imaginary, x)),
        )
        spectrum = graph("Concat", real, imaginary, axis=0)
    else:
        spectrum = graph("Mul", spectrum, magnitudes)
    spectrum = graph("Reshape", spectrum, [1, 2 * bins, 1, -1])
    return graph("ConvTranspose", spectrum, transform.back[:, :, None], **how)


def _finer(graph: Graph, source: str, rate: int, rest: int) -> str:
    """models.source.refine, of 2 * rate * rest channels."""
    source = graph("Reshape", source, [2, rate, rest, -1])
    return graph("Reshape", graph("Transpose", source, perm=[0, 2, 3, 1]), [1, 2 * rest, 1, -1])
