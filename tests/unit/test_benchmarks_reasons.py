from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewise.benchmarks.entry import Entry, Kind
from edgewise.benchmarks.environment import Machine, describe_machine
from edgewise.benchmarks.evidence import Evidence, last_cache, usable_cpu
from edgewise.benchmarks.figures import KINDS_OF_REASON, Ceiling, Contention
from edgewise.benchmarks.profiling import NO_TIMES, Profile, Spent, delegation, measure, profile_entry
from edgewise.benchmarks.reasons import falls_short, find_reasons, with_reasons
from edgewise.benchmarks.results import Row
from edgewise.benchmarks.statistics import latency
from edgewise.runtime.graph import Graph, Node, Quantization, Tensor

DATA = Path(__file__).parents[1] / "data"
X86 = Machine(
    "Fast CPU", "", "x86_64", ("avx2", "fma", "avx512_vnni", "amx_int8", "avx512_fp16"), 4, 8 << 30, "Linux", "", ()
)


def row(ms: float, scheme: str = "int8", *, path: str = "tiny.onnx", **fields: Any) -> Row:
    entry = Entry(
        f"net-{scheme}.onnx", str(DATA / path), path[-4:].strip("."), scheme, "onnxruntime", "", 1000, threads=2
    )
    entry = replace(entry, **{key: fields.pop(key) for key in ("kind", "provider", "threads") if key in fields})
    times = latency([[int(1e6 * ms)] * 10] * 3)
    return replace(Row(entry, entry.threads, entry.provider, "fp32", times, Contention(contended=False)), **fields)


def reasons(
    slow: Row, machine: Machine = X86, evidence: Evidence | None = None, rows: Sequence[Row] = (),
    ceilings: Sequence[Ceiling] = (),
) -> dict[str, str]:  # fmt: skip
    found = find_reasons(slow, rows, machine, ceilings, evidence or Evidence())
    assert {each.kind for each in found} <= set(KINDS_OF_REASON)
    return {each.kind: each.text for each in found}


def test_nothing_is_made_up_where_nothing_is_found() -> None:
    assert reasons(row(1.0)) == {}


@pytest.mark.parametrize(
    ("architecture", "flags", "scheme", "told"),
    [
        ("x86_64", ("avx2",), "int8", "neither VNNI nor AMX"),
        ("x86_64", ("avx2", "avx_vnni"), "int8", "with VNNI; it has no AMX"),
        ("aarch64", ("asimd",), "int8-qat", "no dot product of 8-bit numbers"),
    ],
)
def test_a_cpu_that_lacks_units_is_told(architecture: str, flags: tuple[str, ...], scheme: str, told: str) -> None:
    machine = replace(X86, architecture=architecture, flags=flags)
    assert told in reasons(row(1.0, scheme), machine)["cpu-lacks"]


@pytest.mark.parametrize(("architecture", "flag"), [("x86_64", "amx_int8"), ("aarch64", "asimddp")])
def test_a_cpu_that_has_them_is_not_blamed(architecture: str, flag: str) -> None:
    assert reasons(row(1.0), replace(X86, architecture=architecture, flags=(flag,))) == {}


@pytest.mark.parametrize("backend", ["onnxruntime", "litert"])
def test_only_products_of_whole_numbers_want_for_their_units(backend: str) -> None:
    slow = row(1.0, "dynamic")
    slow = replace(slow, entry=replace(slow.entry, backend=backend))
    assert ("cpu-lacks" in reasons(slow, replace(X86, flags=("avx2",)))) == (backend == "litert")


@pytest.mark.parametrize(
    ("flags", "precisions", "kind", "told"),
    [
        (
            ("avx2", "avx512_bf16"),
            ("fp32", "bf16"),
            "precision",
            "with --precision bf16 this engine computes in 16 bits",
        ),
        (("avx2", "avx512_fp16"), ("fp32",), "precision", "does not use what the CPU has for numbers of 16 bits"),
        (("avx2",), ("fp32",), "cpu-lacks", "neither for 16-bit floats nor for bfloat16"),
    ],
)
def test_what_a_cpu_and_an_engine_do_with_16_bits_is_told(
    flags: tuple[str, ...], precisions: tuple[str, ...], kind: str, told: str
) -> None:
    machine, evidence = replace(X86, flags=flags), Evidence(precisions=precisions)
    assert told in reasons(row(1.0, "fp16"), machine, evidence)[kind]
    assert reasons(row(1.0, "fp16", precision="bf16"), machine, evidence) == {}


def integer_graph(floats: int) -> Graph:
    """Six convolutions, the last ``floats`` of which compute in float."""
    scale = Quantization(0.1, 0)
    tensors = {"weights": Tensor("weights", (8, 3, 3, 8), "int8", scale, constant=True, size=80_000_000)}
    for place in range(7):
        quantized = place <= 6 - floats
        tensors[f"x{place}"] = Tensor(
            f"x{place}", (1, 16, 16, 8), "int8" if quantized else "float32", scale if quantized else None
        )
    nodes = tuple(Node("CONV_2D", "", (f"x{place}", "weights"), (f"x{place + 1}",)) for place in range(6))
    return Graph(nodes, tensors, ("x0",), ("x6",), ("weights",))


def test_float_islands_are_told_with_their_share_of_the_work() -> None:
    told = reasons(row(1.0), evidence=Evidence(graph=integer_graph(3)))["float-islands"]
    assert "compute in float between integers (CONV_2D)" in told
    assert "50% of the multiplications" in told
    assert "float-islands" not in reasons(row(1.0), evidence=Evidence(graph=integer_graph(0)))


def test_a_file_with_float_activations_is_told() -> None:
    evidence = Evidence(graph=integer_graph(7))
    assert (
        "only the weights are stored as whole numbers"
        in reasons(row(1.0, "dynamic"), evidence=evidence)["float-islands"]
    )


def test_conversions_and_operators_are_told_with_their_time() -> None:
    profile = Profile(
        (Spent("Conv", 0.5), Spent("Resize", 0.3, 0.3), Spent("Softmax", 0.12), Spent("ReorderOutput", 0.08))
    )
    found = find_reasons(row(1.0), (), X86, (), Evidence(profile))
    assert [(reason.kind, reason.share) for reason in found] == [
        ("operator", 0.3),
        ("operator", 0.12),
        ("layout", 0.08),
        ("operator", None),
    ]
    assert "30% of its time goes into Resize, which is not optimized there" in found[0].text
    assert "12% of its time goes into Softmax, beside convolutions and products" in found[1].text
    assert "converting numbers and their layout in memory (ReorderOutput)" in found[2].text
    assert found[3].text == "Most of its time goes into the network's own work (Conv 50%)."


def test_a_gpu_that_the_installed_engine_does_not_use_is_told(tmp_path: Path) -> None:
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information"
    card.parent.mkdir(parents=True)
    card.write_text("Model: \t\t NVIDIA GeForce RTX 4090\nIRQ: 5\n")
    with_gpu = replace(X86, gpus=describe_machine(tmp_path).gpus)
    told = reasons(row(1.0), with_gpu, Evidence(providers=("cpu",)))
    assert told["provider"].startswith(
        "The machine has a GPU (NVIDIA GeForce RTX 4090), and the installed ONNX Runtime"
    )
    assert "provider" not in reasons(row(1.0), with_gpu, Evidence(providers=("cpu", "cuda")))
    assert "provider" not in reasons(row(1.0), X86, Evidence(providers=("cpu",)))


def test_more_threads_than_cores_are_looked_at_and_told() -> None:
    many = row(10.0, "fp32", threads=8)
    assert falls_short(many, (many,), X86)
    assert not falls_short(row(10.0, "fp32", threads=4), (many,), X86)
    assert reasons(many)["oversubscription"] == "Its 8 threads share 4 usable cores."


def test_threads_beyond_a_containers_quota_are_told(tmp_path: Path) -> None:
    quota = tmp_path / "sys/fs/cgroup/cpu.max"
    quota.parent.mkdir(parents=True)
    quota.write_text("150000 100000\n")
    assert usable_cpu(tmp_path) <= 1.5
    evidence = Evidence(usable=usable_cpu(tmp_path))
    assert "Its 2 threads share 1" in reasons(row(1.0), evidence=evidence)["oversubscription"]
    quota.write_text("max 100000\n")
    assert usable_cpu(tmp_path) == usable_cpu(tmp_path / "nowhere") >= 1


def test_reading_the_weights_is_told_where_they_fit_no_cache(tmp_path: Path) -> None:
    size = tmp_path / "sys/devices/system/cpu/cpu0/cache/index3/size"
    size.parent.mkdir(parents=True)
    size.write_text("32768K\n")
    evidence = Evidence(Profile(bytes_per_second=20e9), integer_graph(0), cache_bytes=last_cache(tmp_path))
    assert evidence.cache_bytes == 32 << 20
    told = reasons(row(8.0), evidence=evidence)["memory-bound"]  # 80 MB at 20 GB/s are 4 ms
    assert "80 MB of weights takes about 50% of its time, at the 20 GB/s" in told
    assert "memory-bound" not in reasons(row(80.0), evidence=evidence)
    assert "memory-bound" not in reasons(row(8.0), evidence=replace(evidence, cache_bytes=100 << 20))


def test_what_the_toolkit_takes_itself_is_told_against_a_plain_loop() -> None:
    slow, plain = row(1.2), row(1.0, kind=Kind.PLAIN)
    assert "This toolkit takes 0.2 ms of it: a plain loop takes 1 ms" in reasons(slow, rows=(slow, plain))["overhead"]
    assert "overhead" not in reasons(row(1.02), rows=(slow, plain))


def test_a_variant_near_the_machines_peak_is_told() -> None:
    slow = row(1.0, macs=40_000_000)  # 80 GOPS
    assert "reaches 80% of what this machine" in reasons(slow, ceilings=[Ceiling(2, 50.0, 100.0, "")])["operator"]
    assert "operator" not in reasons(slow, ceilings=[Ceiling(2, 25.0, 50.0, "")])  # a peak that is none


def test_which_nodes_a_delegate_took_is_found_from_what_goes_in_and_out() -> None:
    nodes = [
        {"op_name": "CONV_2D", "inputs": [0, 1], "outputs": [2]},
        {"op_name": "CUSTOM_POOL", "inputs": [2], "outputs": [3]},
        {"op_name": "CONV_2D", "inputs": [3, 1], "outputs": [4]},
        {"op_name": "SOFTMAX", "inputs": [4], "outputs": [5]},
        {"op_name": "DELEGATE", "inputs": [0, 1], "outputs": [2]},
        {"op_name": "DELEGATE", "inputs": [3, 1], "outputs": [5]},
    ]
    found = delegation(nodes)
    assert (found.nodes, found.delegated, found.partitions, found.left) == (4, 3, 2, ("CUSTOM_POOL",))
    told = reasons(row(1.0), evidence=Evidence(found))
    assert (
        "XNNPACK took 3 of its 4 nodes, in 2 pieces; LiteRT's own code runs the others (CUSTOM_POOL)"
        in told["delegate"]
    )
    assert NO_TIMES in told["operator"]


def test_litert_says_what_its_delegate_took_of_a_real_file() -> None:
    found = measure(DATA / "tiny.tflite", "litert", 1)
    assert (found.nodes, found.delegated, found.partitions, found.left) == (6, 5, 1, ("CAST",))
    assert found.bytes_per_second > 1e8


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_profilers_tell_where_the_time_of_a_real_file_goes(backend: str) -> None:
    pytest.importorskip(backend)
    found = measure(DATA / "tiny.onnx", backend, 1)
    assert found.operators
    assert sum(each.share for each in found.operators) == pytest.approx(1)
    if backend == "onnxruntime":
        assert {"Cast", "ReduceMean"} <= {each.operator for each in found.operators}


def test_a_file_that_cannot_be_profiled_is_told_and_nothing_else_happens(tmp_path: Path) -> None:
    entry = replace(row(1.0).entry, path=str(tmp_path / "gone.onnx"))
    assert "gone.onnx" in profile_entry(entry).note


def test_only_rows_that_gain_less_than_expected_are_looked_at() -> None:
    twin, slow, fast = row(10.0, "fp32"), row(9.0), row(4.0, "fp16")
    single = row(12.0, threads=1)
    rows = (twin, slow, fast, single)
    assert [falls_short(each, rows, X86) for each in rows] == [False, True, False, False]
    looked_at: list[Row] = []

    def look_at(row: Row) -> Evidence:
        looked_at.append(row)
        return Evidence()

    found = with_reasons(rows, replace(X86, flags=("avx2",)), look_at=look_at)
    assert looked_at == [slow]
    assert [bool(each.reasons) for each in found] == [False, True, False, False]
    assert "cpu-lacks" in {reason.kind for reason in found[1].reasons}
