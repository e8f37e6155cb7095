"""The memory of a training run by formula. Pure: a shape and a plan in, bytes out.

What is in memory differs from moment to moment, and the peak is at one of these:
- `turn`: the forward pass is done, all that the backward pass needs is kept, and no new gradient exists yet;
- `backward`: it is at its end, all gradients exist and one layer's activations still do;
- `step`: the optimiser works on its largest tensor;
- `loading`: a base is quantised;
- `merging`: the policy of reinforcement learning becomes a graph of OpenVINO's;
- `writing`: replies are drawn by it, with their keys and values;
- `reading`, `fitting`: a classifier's frozen trunk reads the texts, then the head is fitted on their states.
So gradients and activations are never whole at once, and a peak is less than the sum of all parts at their
most.

Sources: states of the optimiser: Rajbhandari et al., 2020, ZeRO, section 3.1. Activations: Korthikanti et
al., 2022, section 4.1, taken anew from what torch keeps for the operations of transformers' Llama and GPT-2
(tests count it). Checkpointing: Chen et al., 2016. NF4 with double quantisation: Dettmers et al., 2023,
section 3.
"""

from dataclasses import dataclass

from training.memory.plan import HEADLESS, Plan
from training.memory.shape import Shape
from training.memory.words import PARTS

LIBRARIES_CPU = 640_000_000
"""Python, torch, transformers, PEFT, TRL and datasets in a worker: resident memory after the first steps of
the embedded model, less its weights, adapter, gradients and moments (measured: 619 to 637 MB)."""
LIBRARIES_CLASSIFY = 560_000_000
"""The same of a classifier's run, which uses no trainer of TRL's (measured beside the embedded model's frozen
weights, for 100 and 4,000 texts: 550 and 560 MB)."""
STATE_BYTES = 4 + 3 * 8
"""Of each number of a text's state while a head is fitted (training.classify.probe): as read, in fp64, less
its mean, and standardised (measured between 4,000 and 60,000 texts: 28)."""
CUDA_BUILD = 460_000_000
"""What they take more where torch is built for CUDA, though a CPU computes (measured: 463 MB)."""
OPENVINO = 100_000_000
"""What OpenVINO and its CPU plugin leave resident, once they have written answers (measured: 100 MB)."""
CONTEXT_CUDA = 500_000_000
"""What CUDA and its libraries take of a GPU before the first tensor. Not measured by us."""
EIGHT_BIT_BYTES = 1 + 2 / 32
"""A number of the weights that OpenVINO computes with: 8 bits, and a share of its group's scale."""
NF4_BYTES = (4 + 0.127) / 8
INT8_BYTES = 1.0
MOMENTS = {"adamw": 8.0, "adamw-8bit": 2.0, "sgd": 0.0}
"""Bytes of optimiser state for a trained number: two moments in fp32, two in 8 bits, none."""
TILE = 24 * 2**20
"""Bytes of logits that training.shared_prompts has in memory at a time."""


def libraries_bytes(shape: Shape, plan: Plan) -> int:
    """What a worker's libraries take: of a GPU, or beside a CPU's computing."""
    if plan.device != "cpu":
        return CONTEXT_CUDA
    python = LIBRARIES_CLASSIFY if plan.method == "classify" else LIBRARIES_CPU
    return python + CUDA_BUILD * plan.cuda_build + OPENVINO * by_openvino(shape, plan)


def by_openvino(shape: Shape, plan: Plan) -> bool:
    """Whether OpenVINO writes the answers of `rlhf`, as training.answering decides it: on a CPU, for a Llama
    that is not quantised further.
    """
    return plan.method == "rlhf" and plan.device == "cpu" and shape.llama and plan.adapt == "lora"


@dataclass(frozen=True)
class Part:
    """`most_bytes`: the largest it ever is. `peak_bytes`: what it is at the peak of the whole."""

    name: str
    most_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Estimate:
    """`moment`: when the peak is. `peak_bytes`: the sum of all parts then. `trained`: how many numbers."""

    parts: tuple[Part, ...]
    moment: str
    peak_bytes: int
    trained: int

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)


def estimate(shape: Shape, plan: Plan) -> Estimate:
    """The peak, and the parts of it."""
    if plan.adapt == "frozen":
        moments = {"reading": _reading(shape, plan), "fitting": _fitting(shape, plan)}
    else:
        moments = {
            "turn": _turn(shape, plan),
            "backward": _backward(shape, plan),
            "step": _step(shape, plan),
        }
    if plan.method == "rlhf":
        moments["writing"] = _writing(shape, plan)
    if plan.device == "cpu" and plan.quantized != "none":  # the whole file is mapped as it was
        moments["loading"] = {"working": shape.parameters * number_bytes(plan)}
    if by_openvino(shape, plan):
        moments["merging"] = _merging(shape, plan)
    always = {
        "weights": weight_bytes(shape, plan),
        "reward": reward_bytes(shape, plan),
        "optimiser": optimiser_bytes(shape, plan),
        "libraries": libraries_bytes(shape, plan),
    }
    if plan.device == "cpu" and plan.adapt != "frozen":
        for name in ("turn", "backward", "step"):
            moments[name]["holes"] = plan.holes * _from_heap(shape, plan)
    whole = {name: always | parts for name, parts in moments.items()}
    moment = max(whole, key=lambda name: sum(whole[name].values()))
    parts = tuple(
        Part(name, round(max(at.get(name, 0) for at in whole.values())), round(whole[moment].get(name, 0)))
        for name in PARTS
    )
    return Estimate(parts, moment, sum(part.peak_bytes for part in parts), trained(shape, plan))


def trained(shape: Shape, plan: Plan) -> int:
    """How many numbers the optimiser moves."""
    if plan.trainable is not None:
        return plan.trainable(shape)
    if plan.adapt == "frozen":
        return 2 * (shape.width + 1)  # of two labels: it hardly matters
    return shape.parameters if plan.adapt == "full" else shape.lora_parameters(plan.rank)


def number_bytes(plan: Plan) -> int:
    """Of one number of the base's weights as stored."""
    return 2 if plan.precision == "bf16" else 4


def computed_bytes(plan: Plan) -> int:
    """Of one number as matrices compute it."""
    return 4 if plan.precision == "fp32" else 2


def base_bytes(shape: Shape, plan: Plan) -> float:
    """The base alone: matrices as they are quantised, the rest in whole numbers."""
    rest = shape.parameters - shape.matrix_parameters
    wide = number_bytes(plan)
    matrices = {"nf4": NF4_BYTES, "int8": INT8_BYTES, "none": wide}[plan.quantized]
    return shape.matrix_parameters * matrices + rest * wide


def reward_bytes(shape: Shape, plan: Plan) -> float:
    """What scores the answers of `rlhf`: a trunk of its own with an adapter of its own
    (training.reward_model), at every moment.
    """
    if plan.method != "rlhf" or not plan.rewarded:
        return 0.0
    return base_bytes(shape, plan) + shape.lora_parameters(plan.rank) * 4


def weight_bytes(shape: Shape, plan: Plan) -> float:
    """The base, its reference where that is a copy, and the adapter, which PEFT keeps in fp32.

    A method that reads its reference from the model itself (the adapter off, or once before training: DPO)
    needs no copy; online methods that train all weights do. A classifier's best epoch so far is a copy too,
    in main memory.
    """
    base = base_bytes(shape, plan)
    if plan.adapt == "full":
        keeps_best = plan.method == "classify" and plan.device == "cpu"
        return base * (2 if plan.method in ("rlhf", "kto") or keeps_best else 1)
    return base + trained(shape, plan) * trained_bytes(plan)


def trained_bytes(plan: Plan) -> int:
    """Of one number that is trained: an adapter's is in fp32, but beside a quantised base TRL makes it
    bf16.
    """
    if plan.adapt == "full":
        return number_bytes(plan)
    return 2 if plan.adapt in ("qlora", "int8") else 4


def optimiser_bytes(shape: Shape, plan: Plan) -> float:
    """AdamW moves two moments of the type of their weight, which beside a quantised base is bf16."""
    share = 0.5 if plan.optimiser == "adamw" and plan.adapt in ("qlora", "int8") else 1.0
    return trained(shape, plan) * MOMENTS[plan.optimiser] * share


def gradient_bytes(shape: Shape, plan: Plan) -> float:
    """A gradient has the type of its weight."""
    return trained(shape, plan) * trained_bytes(plan)


def layer_bytes_a_token(shape: Shape, plan: Plan) -> float:
    """What one layer keeps of one token for the backward pass, in bytes, without what grows with the square.

    Written for e bytes a number, width h, heads' width a, inner width i, rank r:
    norms         RMS: e h each (quick_norms), where its weight is trained 4 h more (in fp32 always); layer
                  norm: e h each
    inputs        of matrices that are trained or adapted: e (h + a + h + i), each once. Where an adapter in
                  fp32 on a base in bf16 goes PEFT's way (quick_lora does not cover it), a copy in fp32 for
                  each matrix; autocast takes one in bf16
    LoRA          e r for each matrix, in PEFT's way 4 r: A x
    attention     e (a + 2 k + a): queries, keys, values and what comes out, k being a where keys are
                  repeated for their groups, as they are under no mask; 4 bytes a head for the sum kept in
                  place of the probabilities
    feed-forward  gated: 3 e i (gate, its activation, up); GPT-2's gelu in Python: 4 e i; a fused one: e i
    dropout       e h for each of two masks on a CPU, h on a GPU
    """
    e, h, a, i = computed_bytes(plan), shape.width, shape.attention_width, shape.inner
    full = plan.adapt == "full"
    if shape.norm == "rms":
        norms = shape.norms * (e + (4 if full else 0)) * h
    else:
        norms = shape.norms * (4 if plan.precision == "mixed" else e) * h
    if _adds_nothing_wide(plan):
        inputs = 0.0
    elif full and plan.precision != "mixed":
        inputs = e * (shape.norms * h + a + i)
    elif full or plan.precision == "mixed":
        inputs = 2 * sum(rows for rows, _ in shape.matrices)
    else:
        inputs = e * (shape.norms * h + a + i)
        if e == 2 and trained_bytes(plan) == 4 and not _in_place(shape, plan):
            inputs = 4 * sum(rows for rows, _ in shape.matrices)
    narrow = (e if _in_place(shape, plan) else trained_bytes(plan)) * plan.rank * len(shape.matrices)
    lora = 0 if full or plan.trainable is not None else narrow
    feed = {True: 3, False: 4 if shape.activation == "gelu_new" else 1}[shape.gated] * e * i
    drops = 2 * h * (e if plan.device == "cpu" else 1) * (shape.hidden_dropout and drops_out(plan))
    return norms + inputs + lora + _attention(shape, plan) + feed + drops


def _in_place(shape: Shape, plan: Plan) -> bool:
    """Whether assistant.adapters.quick_lora computes an adapter in fp32: on linear layers in floating point.
    Beside a quantised base, where TRL's adapter is in bf16, its way and PEFT's keep the same.
    """
    return plan.adapt == "lora" and not shape.transposed


def _adds_nothing_wide(plan: Plan) -> bool:
    """Adaptations by a count alone (biases, norms, prompts, IA3) need no matrix's input."""
    return plan.trainable is not None


def _attention(shape: Shape, plan: Plan) -> float:
    e, a = computed_bytes(plan), shape.attention_width
    if materialised(shape, plan):
        # Queries and keys scaled, and all three as one matrix made them; in fp32 always, so that a copy of
        # the values stands in for the matrix's where that is in bf16.
        return 4 * a * (5 if e == 4 else 3)
    keys = a if plan.head == "tiled" and not plan.load.masked else shape.key_width
    return e * (2 * a + 2 * keys) + 4 * shape.heads


def materialised(shape: Shape, plan: Plan) -> bool:
    """Whether attention keeps its probabilities: torch's fused kernel for CPUs knows no dropout. Trainers of
    preferences and rewards switch dropout off.
    """
    return shape.attention_dropout and plan.device == "cpu" and drops_out(plan)


def drops_out(plan: Plan) -> bool:
    """Whether dropout is on: TRL's trainers of preferences and rewards switch it off."""
    return plan.method in ("clm", "sft", "classify")


def layer_bytes_of_squares(shape: Shape, plan: Plan) -> float:
    """What one layer keeps that grows with the square of lengths: probabilities, dropout's mask, and both
    multiplied, for each head, in fp32 always (Korthikanti et al.'s 5 a s b, in another precision).
    """
    return 3 * 4 * shape.heads * plan.load.squares if materialised(shape, plan) else 0


def activation_bytes(shape: Shape, plan: Plan) -> float:
    """Of all layers at the turn; with checkpointing each layer's input, and one layer whole."""
    e, tokens = computed_bytes(plan), plan.load.tokens
    last = 4 if plan.adapt == "full" or shape.norm == "layer" else e
    ends = tokens * shape.width * (last + e)  # the last norm, and the embeddings
    ends += e * plan.load.masked * shape.heads // shape.key_heads  # trees' masks as numbers, of all layers
    if plan.checkpointing:
        return ends + shape.layers * tokens * shape.width * e + one_layer_bytes(shape, plan)
    return ends + shape.layers * one_layer_bytes(shape, plan)


def one_layer_bytes(shape: Shape, plan: Plan) -> float:
    return plan.load.tokens * layer_bytes_a_token(shape, plan) + layer_bytes_of_squares(shape, plan)


def _from_heap(shape: Shape, plan: Plan) -> float:
    """What comes and goes in blocks below 32 MB; larger ones, as whole logits, are maps of their own."""
    tiles = logit_bytes(shape, plan) if plan.head == "tiled" else 0
    return activation_bytes(shape, plan) + tiles


def logit_bytes(shape: Shape, plan: Plan) -> float:
    """The LM head at work.

    Whole: for each token the logits, their copy in fp32 where they are not, their log-softmax and its
    gradient. Tiled: the logits of some positions, and for each labelled one its state and the gradient by it.
    """
    if plan.method in HEADLESS:
        return 0.0
    e = computed_bytes(plan)
    if plan.head == "whole":
        return plan.load.tokens * shape.vocabulary * (e + (4 if e == 2 else 0) + 4 + 4)
    return min(TILE, plan.load.labelled * shape.vocabulary * e) + plan.load.labelled * shape.width * 2 * e


def cache_bytes(shape: Shape, plan: Plan) -> float:
    """Keys and values of the rows that are written: 2 e k for each layer and token."""
    rows = plan.batch * plan.accumulation
    return rows * plan.length * 2 * shape.layers * shape.key_width * computed_bytes(plan)


def _layer_working(shape: Shape, plan: Plan) -> float:
    """Gradients by the widest states of one layer while it is walked back, and a matrix read from few
    bits."""
    e, unpacked = computed_bytes(plan), _unpacked(shape, plan)
    cast = shape.matrix_parameters * 2 if plan.precision == "mixed" else 0  # autocast keeps its copies
    return 3 * e * plan.load.tokens * shape.inner + unpacked + cast


def _unpacked(shape: Shape, plan: Plan) -> float:
    """The largest matrix as it is read from few bits."""
    return max(r * c for r, c in shape.matrices) * computed_bytes(plan) * (plan.quantized != "none")


def _turn(shape: Shape, plan: Plan) -> dict[str, float]:
    kept = gradient_bytes(shape, plan) if plan.accumulation > 1 else 0
    if not kept and plan.adapt == "full" and plan.method not in HEADLESS:
        kept = shape.vocabulary * shape.width * number_bytes(plan)  # the head's comes first
    return {
        "gradients": kept,
        "activations": activation_bytes(shape, plan),
        "logits": logit_bytes(shape, plan),
        "working": _layer_working(shape, plan),
    }


def _backward(shape: Shape, plan: Plan) -> dict[str, float]:
    return {
        "gradients": gradient_bytes(shape, plan),
        "activations": one_layer_bytes(shape, plan),
        "working": _layer_working(shape, plan) + _largest(shape, plan),
    }


def _step(shape: Shape, plan: Plan) -> dict[str, float]:
    """Adam's step takes two numbers beside each of the tensor it moves: a root, and the root over a bias."""
    return {"gradients": gradient_bytes(shape, plan), "working": 2 * _largest(shape, plan)}


def _reading(shape: Shape, plan: Plan) -> dict[str, float]:
    """A frozen trunk reads: the widest states of one layer, of which nothing is kept, and a norm's in
    fp32.
    """
    e, tokens = computed_bytes(plan), plan.load.tokens
    states = plan.texts * shape.width * 4
    layer = tokens * (e * (2 * shape.width + 3 * shape.inner) + 4 * shape.width)
    return {"states": states, "working": layer + _unpacked(shape, plan)}


def _fitting(shape: Shape, plan: Plan) -> dict[str, float]:
    """A head is fitted on the states of all texts."""
    return {"states": plan.texts * shape.width * STATE_BYTES}


def _largest(shape: Shape, plan: Plan) -> float:
    if plan.adapt == "full":
        return shape.largest_tensor * 4
    return min(trained(shape, plan), plan.rank * max(max(pair) for pair in shape.matrices)) * 4


def _merging(shape: Shape, plan: Plan) -> dict[str, float]:
    """The policy as assistant.engines.eight_bit writes it: the base's file mapped once more, all of it in 8
    bits, and its largest tensor in fp32 as read, and as divided by its scales.
    """
    mapped = shape.parameters * number_bytes(plan)
    return {
        "graph": mapped + shape.parameters * EIGHT_BIT_BYTES,
        "working": 2 * 4 * shape.vocabulary * shape.width,
    }


def _writing(shape: Shape, plan: Plan) -> dict[str, float]:
    """Of all answers of a step at once, with the logits of each one's next token: as numbers of the graph,
    and as the sampler's.
    """
    rows = plan.batch * plan.accumulation
    graph = shape.parameters * EIGHT_BIT_BYTES * 2 if by_openvino(shape, plan) else 0.0
    return {
        "graph": graph,
        "cache": cache_bytes(shape, plan),
        "logits": rows * shape.vocabulary * 12.0,
    }
