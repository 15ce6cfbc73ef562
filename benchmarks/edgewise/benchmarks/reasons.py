"""Why is it not faster? Looked for in the CPU, in the file, in the backend's profile and in the other rows.

Each of the functions at the end looks for one kind of reason and gives at most a few sentences with figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edgewise.benchmarks.entry import WHOLE_NUMBERS
from edgewise.benchmarks.environment import Machine
from edgewise.benchmarks.evidence import Evidence, collect
from edgewise.benchmarks.figures import Ceiling, Reason
from edgewise.benchmarks.profiling import CONVERTING, Profile
from edgewise.benchmarks.results import Kind, Row
from edgewise.benchmarks.rows import ceiling_share
from edgewise.runtime.cpu import DOT_PRODUCTS
from edgewise.runtime.engines import onnxruntime
from edgewise.runtime.engines.base import BF16, CPU, FP32
from edgewise.runtime.graph import Graph, macs
from edgewise.runtime.inspection import short
from edgewise.runtime.islands import Arithmetic, numerics

EXPECTED = {"int8": 1.5, "int8-qat": 1.5, "dynamic": 1.2, "w8a16": 1.2, "fp16": 1.2}
"""How many times as fast as its float twin a variant is expected to be, by scheme; below, reasons are looked for."""

PER_THREAD = 0.6
"""Share of its part that each thread is expected to bring."""

OVERHEAD, OVERHEAD_MS = 0.05, 0.05
"""What this toolkit may take beside a plain loop, as a share and in milliseconds; more is told."""

WORTH_A_WORD = 0.05
"""Share of the time from which on something is told."""

OWN_WORK = 0.5
"""Share of the time in convolutions and products from which on that is told."""

MEMORY_BOUND = 0.3
"""Share of the time from which on reading the weights is told."""

HALVES = frozenset(("avx512_fp16", "avx512_bf16", "amx_bf16", "asimdhp", "bf16"))
"""Features of CPUs that compute in 16 bits."""

HEAD = 4
"""Nodes at a network's end that may work in float: mean, product, softmax and the conversion before them."""

_INTEGERS = WHOLE_NUMBERS | {"dynamic"}
_PRODUCTS = frozenset(
    ("Conv", "FusedConv", "QLinearConv", "Convolution", "MatMul", "Gemm", "FullyConnected", "ConvInteger")
)


def with_reasons(
    rows: Sequence[Row],
    machine: Machine,
    ceilings: Sequence[Ceiling] = (),
    look_at: Callable[[Row], Evidence] = lambda row: collect(row.entry),
) -> tuple[Row, ...]:
    """The rows, those that gain less than expected with their reasons.

    Args:
        rows: of one benchmark.
        machine: that they were measured on.
        ceilings: what that machine computes at most.
        look_at: gathers what is known of a row beside its figures; unless told, it profiles it in a child process.
    """
    found = []
    for row in rows:
        if not falls_short(row, rows, machine):
            found.append(row)
            continue
        found.append(replace(row, reasons=find_reasons(row, rows, machine, ceilings, look_at(row))))
    return tuple(found)


def find_reasons(
    row: Row, rows: Sequence[Row], machine: Machine, ceilings: Sequence[Ceiling], evidence: Evidence
) -> tuple[Reason, ...]:
    """Why a row is not faster: what was found, the largest known share of its time first."""
    found = [
        *_provider(row, machine, evidence),
        *_threads(row, evidence.usable or machine.cores),
        *_cpu(row, machine),
        *_precision(row, machine, evidence),
        *_islands(row, evidence.graph),
        *_converting(evidence.profile),
        *_operators(evidence.profile),
        *_delegate(evidence.profile),
        *_memory(row, evidence),
        *_overhead(row, rows),
        *_peak(row, ceilings),
    ]
    if evidence.profile.note and not any(reason.share is not None for reason in found):
        found.append(Reason("operator", f"{evidence.profile.note}."))
    return tuple(sorted(found, key=lambda reason: -(reason.share or 0.0)))


def falls_short(row: Row, rows: Sequence[Row], machine: Machine) -> bool:
    """Whether a variant gains less than expected over its float twin, one thread or a plain loop."""
    if row.entry.kind is not Kind.VARIANT:
        return False
    twin, single = float_twin(row, rows), _like(row, rows, threads=1)
    gains = [(twin, EXPECTED.get(row.entry.scheme, 0.0)), (single, PER_THREAD * row.entry.threads)]
    slow = any(other and other.latency.p50 < gain * row.latency.p50 for other, gain in gains if other is not row)
    return slow or row.threads > machine.cores or any(True for _ in _overhead(row, rows))


def float_twin(row: Row, rows: Sequence[Row]) -> Row | None:
    """The float file of the same format on the same backend, with as many threads."""
    return next((other for other in rows if _same(row, other) and other.entry.scheme == "fp32"), None)


def _same(row: Row, other: Row) -> bool:
    def facts(each: Row) -> tuple[object, ...]:
        return each.entry.format, *each.key[1:]

    return facts(row) == facts(other)


def _like(row: Row, rows: Sequence[Row], **changed: object) -> Row | None:
    """The row whose entry differs in nothing but what is told."""
    wanted = replace(row.entry, **changed).key  # type: ignore[arg-type]
    return next((other for other in rows if other.key == wanted), None)


def _provider(row: Row, machine: Machine, evidence: Evidence) -> Iterator[Reason]:
    """A graphics processor that the installed engine does not know of; one that refuses is told as a failure."""
    if machine.gpus and row.provider == CPU and evidence.providers == (CPU,) and row.entry.backend == onnxruntime.NAME:
        yield Reason(
            "provider",
            f"The machine has a GPU ({', '.join(machine.gpus)}), and the installed ONNX Runtime computes on the CPU "
            "only: put onnxruntime-gpu in its place, and there will be a row for --provider cuda.",
        )


def _threads(row: Row, usable: float) -> Iterator[Reason]:
    if row.threads > usable:
        yield Reason(
            "oversubscription", f"Its {row.threads} threads share {usable:g} usable core{'' if usable == 1 else 's'}."
        )


def _cpu(row: Row, machine: Machine) -> Iterator[Reason]:
    """Units that the CPU lacks, told from its flags."""
    flags = set(machine.flags)
    x86, arm = machine.architecture in ("x86_64", "AMD64"), machine.architecture in ("aarch64", "arm64")
    if row.entry.in_whole_numbers and x86 and not flags & DOT_PRODUCTS:
        yield Reason(
            "cpu-lacks",
            "The CPU has neither VNNI nor AMX: a product of 8-bit numbers takes three instructions in place of one.",
        )
    elif row.entry.in_whole_numbers and x86 and "amx_int8" not in flags:
        yield Reason(
            "cpu-lacks", "The CPU multiplies 8-bit numbers with VNNI; it has no AMX, which takes more at once."
        )
    if row.entry.in_whole_numbers and arm and flags and not flags & {"asimddp", "i8mm"}:
        yield Reason("cpu-lacks", "The CPU has no dot product of 8-bit numbers (asimddp, i8mm).")


def _precision(row: Row, machine: Machine, evidence: Evidence) -> Iterator[Reason]:
    """16-bit weights that are computed with in 32 bits. ONNX Runtime has kernels for them on ARM."""
    flags = set(machine.flags)
    own_kernels = row.entry.backend == onnxruntime.NAME and "asimdhp" in flags
    if row.entry.scheme != "fp16" or row.precision != FP32 or row.entry.provider != CPU or own_kernels:
        return
    told = "Its 16-bit weights are computed with as 32-bit ones, which saves size only"
    if BF16 in evidence.precisions:
        yield Reason("precision", f"{told}; with --precision bf16 this engine computes in 16 bits on this CPU.")
    elif flags & HALVES:
        yield Reason("precision", f"{told}: this engine does not use what the CPU has for numbers of 16 bits.")
    else:
        yield Reason("cpu-lacks", f"{told}: the CPU has instructions neither for 16-bit floats nor for bfloat16.")


def _islands(row: Row, graph: Graph | None) -> Iterator[Reason]:
    """Nodes of an integer network that work in float, unless they are few and compute next to nothing."""
    if graph is None or row.entry.scheme not in _INTEGERS:
        return
    found = numerics(graph)
    if found.arithmetic is Arithmetic.FLOAT:
        yield Reason("float-islands", "Its activations are floats: only the weights are stored as whole numbers.")
        return
    work = [macs(graph, node) or 0 for node in graph.nodes]
    share = sum(work[place] for place in found.islands) / max(1, sum(work))
    if share >= WORTH_A_WORD or len(found.islands) > HEAD:
        names = ", ".join(dict.fromkeys(short(graph.nodes[place].operator) for place in found.islands[:20]))
        yield Reason(
            "float-islands",
            f"{len(found.islands)} of its {len(graph.nodes)} nodes compute in float between integers ({names}), with "
            f"{share:.0%} of the multiplications.",
        )


def _converting(profile: Profile) -> Iterator[Reason]:
    if profile.converting >= WORTH_A_WORD:
        names = ", ".join(each.operator for each in profile.operators if each.operator in CONVERTING)
        yield Reason(
            "layout",
            f"{profile.converting:.0%} of its time goes into converting numbers and their layout in memory ({names}).",
            profile.converting,
        )


def _operators(profile: Profile) -> Iterator[Reason]:
    """Operators beside convolutions and products, and slow implementations; and what the network's own work takes."""
    own = [each for each in profile.operators if each.operator in _PRODUCTS and not each.slow]
    if sum(each.share for each in own) >= OWN_WORK:
        names = ", ".join(f"{each.operator} {each.share:.0%}" for each in own if each.share >= WORTH_A_WORD)
        yield Reason("operator", f"Most of its time goes into the network's own work ({names}).")
    for each in profile.operators:
        if each.slow >= WORTH_A_WORD:
            yield Reason(
                "operator", f"{each.slow:.0%} of its time goes into {each.operator}, which is not optimized there.",
                each.slow,
            )  # fmt: skip
        elif each.share >= 2 * WORTH_A_WORD and each.operator not in _PRODUCTS | CONVERTING:
            yield Reason(
                "operator",
                f"{each.share:.0%} of its time goes into {each.operator}, beside convolutions and products.",
                each.share,
            )


def _delegate(profile: Profile) -> Iterator[Reason]:
    if profile.delegated < profile.nodes:
        left = ", ".join(profile.left[:5]) + (", ..." if len(profile.left) > 5 else "")
        yield Reason(
            "delegate",
            f"XNNPACK took {profile.delegated} of its {profile.nodes} nodes, in {profile.partitions} "
            f"piece{'' if profile.partitions == 1 else 's'}; LiteRT's own code runs the others ({left}).",
        )


def _memory(row: Row, evidence: Evidence) -> Iterator[Reason]:
    """Reading the weights, where they fit no cache."""
    if evidence.graph is None or not evidence.profile.bytes_per_second:
        return
    weights = sum(evidence.graph.tensors[key].size for key in evidence.graph.parameters)
    share = weights / evidence.profile.bytes_per_second / (row.latency.p50 / 1e3)
    if weights > evidence.cache_bytes and share >= MEMORY_BOUND:
        yield Reason(
            "memory-bound",
            f"Reading its {weights / 1e6:,.0f} MB of weights takes about {min(share, 1):.0%} of its time, at the "
            f"{evidence.profile.bytes_per_second / 1e9:.0f} GB/s at which this machine reads memory.",
            min(share, 1.0),
        )


def _overhead(row: Row, rows: Sequence[Row]) -> Iterator[Reason]:
    plain = _like(row, rows, kind=Kind.PLAIN)
    if row.entry.kind is not Kind.VARIANT or plain is None:
        return
    more = row.latency.p50 - plain.latency.p50
    apart = row.latency.p50_interval.low > plain.latency.p50_interval.high
    if apart and more > max(OVERHEAD_MS, OVERHEAD * plain.latency.p50):
        yield Reason(
            "overhead", f"This toolkit takes {more:.2g} ms of it: a plain loop takes {plain.latency.p50:.3g} ms.",
            more / row.latency.p50,
        )  # fmt: skip


def _peak(row: Row, ceilings: Sequence[Ceiling]) -> Iterator[Reason]:
    """A variant that reaches half of what the machine computes at most has little left to gain.

    More than all of it says nothing of the variant (`edgewise.benchmarks.remarks` tells what it says).
    """
    share = ceiling_share(row.entry, row.macs, row.latency.p50, ceilings)
    if share is not None and 0.5 <= share <= 1:
        yield Reason("operator", f"It reaches {share:.0%} of what this machine computes at most.")
