from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up_machine import MILLION, KilledError, Machine, campaign, plan, rows

from edgewise.benchmarks.entry import Entry, Kind
from edgewise.benchmarks.figures import Ceiling, Energy
from edgewise.benchmarks.processes import failed
from edgewise.benchmarks.request import Request
from edgewise.benchmarks.results import Failure, Row
from edgewise.benchmarks.rows import Gathered, make_row
from edgewise.benchmarks.task import Job, Measurement, Peak, Rate, Task
from edgewise.spec import InputError, OutputError

ENTRY = Entry("a.onnx", "a.onnx", "onnx", "fp32", "onnxruntime", "", 1)


def test_every_row_gets_its_figures(tmp_path: Path) -> None:
    done = campaign(tmp_path, Machine(), sustain=1)
    done.run()
    one, two, plain, _ = rows(done)
    assert one.accuracy is two.accuracy
    assert one.accuracy is not None
    assert one.accuracy.top1.share == 1
    assert (one.memory_bytes, plain.memory_bytes) == (140 * MILLION, 0)
    assert one.stages is not None
    assert (one.stages.read, one.stages.inference, one.stages.rest) == (1, 4, 2)
    assert two.offline is not None
    assert two.offline.streams == 2
    assert one.start_ms is not None
    assert one.start_ms.value == 400
    assert (plain.accuracy, plain.offline) == (None, None)
    assert one.sustained is None
    assert two.sustained is not None
    assert two.sustained.last_ms == 6e-6
    assert one.ceiling_share == pytest.approx(2 * one.macs / 5e-3 / 50e9)
    assert not any(row.contention.contended for row in (one, two, plain))
    last = done.steps[-1]  # type: ignore[attr-defined]
    assert last.done == last.total


def test_the_machines_peak_is_the_most_that_was_seen_before_and_after(tmp_path: Path) -> None:
    class Slow(Machine):
        """At first other things go on."""

        def _answer(self, task: Task, *, memory: bool) -> Any:
            if task.job is not Job.CEILING:
                return super()._answer(task, memory=memory)
            first = len(self.tasks) < 3
            return Peak(fp32_gflops=40.0 if first else 50.0, int8_gops=120.0 if first else None, method="by hand")

    done = campaign(tmp_path, Slow())
    done.run()
    assert done.ceilings == (Ceiling(1, 50.0, 120.0, "by hand"), Ceiling(2, 50.0, 120.0, "by hand"))


def test_many_photos_are_measured_in_passes_there_and_back(tmp_path: Path) -> None:
    machine = Machine()
    done = campaign(tmp_path, machine, offline_rounds=2)
    done.run()
    order = [task.threads for task in machine.tasks if task.job is Job.OFFLINE]
    assert sorted(order) == [1, 1, 2, 2]
    assert order == order[::-1]
    assert all(set(found.rates) == {0, 1} for found in done.gathered[:2])
    one, *_ = rows(done)
    assert one.offline is not None
    assert 100 <= one.offline.images_per_second.low <= one.offline.images_per_second.high <= 101


def test_a_disturbed_pass_of_many_photos_is_measured_again(tmp_path: Path) -> None:
    machine = Machine(in_bulk=lambda number: number == 2)
    done = campaign(tmp_path, machine, offline_rounds=2)
    done.run()
    assert sum(1 for task in machine.tasks if task.job is Job.OFFLINE) == 5
    assert not any(row.offline and row.offline.disturbed for row in rows(done))


def test_of_two_passes_of_many_photos_the_one_counts_that_nothing_disturbed(tmp_path: Path) -> None:
    class Short(Machine):
        """Of memory, the first time."""

        def _answer(self, task: Task, *, memory: bool) -> Any:
            answer = super()._answer(task, memory=memory)
            if task.job is not Job.OFFLINE:
                return answer
            first = sum(1 for each in self.tasks if each.job is Job.OFFLINE) == 1
            load = replace(answer.loads[0], others=0.01 if first else 0.02, memory=0.5 if first else 0.0)
            return replace(answer, loads=(load,))

    done = campaign(tmp_path, Short(), offline_rounds=2)
    done.run()
    assert not any(row.offline and row.offline.disturbed for row in rows(done))


def test_many_photos_that_stay_disturbed_are_told_and_single_ones_are_not_blamed(tmp_path: Path) -> None:
    done = campaign(tmp_path, Machine(in_bulk=lambda _: True), offline_rounds=2)
    done.run()
    one, *_ = made = rows(done)
    assert one.offline is not None
    assert one.offline.disturbed == ("other processes took 90% of a core",)
    assert not any(row.contention.contended for row in made)
    assert [rate.images_per_second for rate in one.rates] == [(100.0, 101.0)] * 2


def test_of_many_photos_the_way_counts_that_was_best_in_most_passes() -> None:
    rates = {0: Rate("", 1, 2, (50.0, 52.0)), 1: Rate("", 8, 1, (90.0,)), 2: Rate("", 1, 2, (54.0, 54.0))}
    made = make_row(ENTRY, Gathered({0: Measurement(samples_ns=(5,), threads=1)}, rates=rates))
    assert isinstance(made, Row)
    assert made.offline is not None
    assert (made.offline.batch, made.offline.streams) == (1, 2)
    assert 50 <= made.offline.images_per_second.value <= 54


def test_energy_is_told_for_a_photo() -> None:
    counted = Measurement(samples_ns=(5, 5), threads=1, joules=3.0, energy_source="RAPL package-0")
    silent = Measurement(samples_ns=(5, 5, 5, 5), threads=1)
    made = make_row(ENTRY, Gathered({0: counted, 1: counted, 2: silent}))
    assert isinstance(made, Row)
    assert made.energy == Energy(1.5, "RAPL package-0")
    made = make_row(ENTRY, Gathered({0: silent}))
    assert isinstance(made, Row)
    assert made.energy is None


def test_a_disturbed_round_is_measured_again_and_the_quiet_one_is_kept(tmp_path: Path) -> None:
    done = campaign(tmp_path, Machine(is_busy=lambda number: number == 6))
    done.run()
    made = rows(done)
    assert sum(row.contention.repeats for row in made) == 1
    assert not any(row.contention.contended for row in made)
    assert {row.latency.fastest for row in made} == {5.0}
    assert all(sample == 5 * MILLION for row in made for kept in row.rounds for sample in kept.samples_ns)


def test_a_machine_that_stays_busy_is_told_within_the_budget(tmp_path: Path) -> None:
    machine = Machine(is_busy=lambda _: True)
    done = campaign(tmp_path, machine, repeats=0.5)
    done.run()
    made = rows(done)
    assert all(row.contention.contended for row in made)
    assert made[0].contention.reasons == ("other processes took 90% of a core",)
    # Four rows of four rounds: eight may be measured again.
    assert sum(row.contention.repeats for row in made) == 8


def test_a_killed_benchmark_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = Machine()
    campaign(tmp_path / "whole", whole).run()
    with pytest.raises(KilledError):
        campaign(tmp_path / "out", Machine(dies_at=11)).run()
    with pytest.raises(OutputError, match="holds a benchmark that was not finished\nDo: add --resume to go on with it"):
        campaign(tmp_path / "out", Machine())
    machine = Machine()
    again = campaign(tmp_path / "out", machine, resume=True)
    again.run()
    assert len(machine.tasks) == len(whole.tasks) - 11
    assert all(row.latency.queries == 80 for row in rows(again))


def test_a_torn_answer_is_measured_again(tmp_path: Path) -> None:
    first = Machine()
    campaign(tmp_path, first).run()
    kept = sorted(path for path in (tmp_path / "unfinished").glob("*.json") if not path.name.startswith("answers"))
    kept[0].write_text(kept[0].read_text()[:20])
    machine = Machine()
    campaign(tmp_path, machine, resume=True).run()
    assert len(machine.tasks) == 1


def test_other_settings_are_other_measurements(tmp_path: Path) -> None:
    campaign(tmp_path, Machine()).run()
    machine = Machine()
    campaign(tmp_path, machine, resume=True, seconds=20.0).run()
    assert {task.job for task in machine.tasks} == {Job.LATENCY}
    assert len(machine.tasks) == 16


def test_a_row_that_fails_ends_and_the_others_go_on(tmp_path: Path) -> None:
    class OnePlainLoopDies(Machine):
        def _answer(self, task: Task, *, memory: bool) -> Any:
            if task.kind is Kind.PLAIN and task.threads == 2:
                return failed("killed by SIGSEGV")
            return super()._answer(task, memory=memory)

    machine = OnePlainLoopDies()
    done = campaign(tmp_path, machine)
    done.run()
    made = [make_row(entry, found) for entry, found in zip(plan().entries, done.gathered, strict=True)]
    assert [each.error for each in made if isinstance(each, Failure)] == ["killed by SIGSEGV"]
    asked = Counter((task.kind, task.threads) for task in machine.tasks if task.job is Job.LATENCY)
    assert asked[Kind.PLAIN, 2] == 1
    assert asked[Kind.PLAIN, 1] == 4


def test_a_file_that_changes_meanwhile_is_a_failure(tmp_path: Path) -> None:
    class Changing(Machine):
        def sha256(self, task: Task) -> str:
            return "00" if task.kind is Kind.PLAIN else super().sha256(task)

    done = campaign(tmp_path, Changing())
    done.run()
    assert [found.error for found in done.gathered][2].endswith("tiny.onnx was changed while it was being measured")


def test_quick_is_short_and_impossible_times_are_refused() -> None:
    request = Request(Path("r"), Path("d"), Path("o"))
    assert replace(request, mode="quick").effort().seconds < request.effort().seconds
    assert replace(request, mode="thorough").effort().rounds == 20
    assert replace(request, seconds=3.0).effort().seconds == 3
    for wrong in (replace(request, seconds=0.0), replace(request, sustain_minutes=-1.0), replace(request, mode="slow")):
        with pytest.raises(InputError):
            wrong.effort()


def test_an_entry_without_any_round_is_a_failure() -> None:
    assert make_row(ENTRY, Gathered()) == Failure(ENTRY, "nothing was measured")
