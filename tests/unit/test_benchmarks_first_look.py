from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_machine import TINY, KilledError, Machine, campaign, plan, rows

from edgewise.benchmarks import request
from edgewise.benchmarks.answers import Answers, Listing, arrays_of
from edgewise.benchmarks.entry import Entry, Kind
from edgewise.benchmarks.environment import describe_machine
from edgewise.benchmarks.first_look import FirstLook
from edgewise.benchmarks.plan import make_plan
from edgewise.benchmarks.processes import FreshProcesses, failed
from edgewise.benchmarks.remarks import make_remarks
from edgewise.benchmarks.request import EFFORTS
from edgewise.benchmarks.results import Data
from edgewise.benchmarks.task import Answered, Job, Load, Look, StageSums, Task
from edgewise.benchmarks.typed import from_data
from edgewise.benchmarks.ways import Ways

LEFT_OUT = ["memory", "many photos at once", "a second round"]
ENTRIES = tuple(entry for entry in plan().entries if entry.kind is Kind.VARIANT)  # with 1 thread and with 2


def look(folder: Path, machine: Machine, **changed: Any) -> FirstLook:
    settings = {"rounds": 2, "offline_rounds": 1, "seconds": 1.0, "offline_seconds": 1.0, "peak_seconds": 0.5}
    effort = {"entries": ENTRIES, "first_look": True, **settings, **changed}
    made = campaign(folder, machine, kind=FirstLook, **effort)
    made.run()
    assert isinstance(made, FirstLook)
    *_, last, _ = made.steps  # type: ignore[attr-defined]
    if not any(found.error or found.repeats for found in made.gathered):
        assert last.done + 1 == last.total == len(made.steps) - 1  # type: ignore[attr-defined]
    return made


def jobs(machine: Machine) -> Counter[Job]:
    return Counter(task.job for task in machine.tasks)


def test_where_there_is_time_everything_is_measured(tmp_path: Path) -> None:
    machine = Machine()
    reference: Entry = replace(ENTRIES[1], kind=Kind.REFERENCE, backend="keras", format="run")
    done = look(tmp_path, machine, entries=(*ENTRIES, reference))
    assert (done.left_out, done.rounds, done.offline_rounds) == ([], 2, 1)
    # One look for both numbers of threads and one for the reference; a round of one thread, and a second round of all.
    assert jobs(machine) == {Job.CEILING: 4, Job.LOOK: 2, Job.LATENCY: 1 + 3 + 2, Job.OFFLINE: 2}
    assert {task.kind for task in machine.tasks if task.job is Job.OFFLINE} == {Kind.VARIANT}
    assert {task.batches for task in machine.tasks if task.job is Job.OFFLINE} == {(1,)}
    one, two, of_reference = done.gathered
    assert one.accuracy is two.accuracy
    assert two.accuracy is not None
    assert two.accuracy.difference is not None
    assert all(set(found.rounds) == {0, 1} for found in done.gathered)
    assert all(found.memory_bytes and found.rates for found in (one, two))
    assert not of_reference.memory_bytes
    assert done.answered is not None
    assert done.steps[0].total == len(machine.tasks)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("within", "left_out"),
    [
        (0.0, LEFT_OUT),
        (4.0 + 1.0, LEFT_OUT[1:]),  # peak and looks take 4 seconds; of memory, which takes 2, less than 1 is thought
        (4.0 + 2.0 + 5.0, [LEFT_OUT[1]]),  # of many photos 5.6, of a second round 2.8
        (inf, []),
    ],
)
def test_every_row_is_looked_at_and_what_there_is_no_time_for_is_left_out(
    tmp_path: Path, within: float, left_out: list[str]
) -> None:
    machine = Machine(seconds=1.0)
    done = look(tmp_path, machine, within=within)
    assert done.left_out == left_out
    assert done.rounds == (2 if LEFT_OUT[2] not in left_out else 1)
    assert done.offline_rounds == (1 if LEFT_OUT[1] not in left_out else 0)
    assert all(bool(found.memory_bytes) == (LEFT_OUT[0] not in left_out) for found in done.gathered)
    assert all(found.accuracy for found in done.gathered)
    made = rows(done, ENTRIES)
    assert all((row.offline is not None) == (LEFT_OUT[1] not in left_out) for row in made)


def test_a_second_round_goes_back_the_way_of_the_first(tmp_path: Path) -> None:
    machine = Machine()
    look(tmp_path, machine)
    rounds = [task.threads for task in machine.tasks if task.job in (Job.LOOK, Job.LATENCY) and task.seconds == 0.5]
    assert len(rounds) == 4
    assert rounds == rounds[::-1]


def test_a_disturbed_round_is_repeated_where_there_is_time_and_marked_where_there_is_none(tmp_path: Path) -> None:
    for within in (inf, 0.0):
        machine = Machine(is_busy=lambda number: number == 1, seconds=1.0)
        done = look(tmp_path / str(within), machine, within=within, repeats=1.0)
        assert sum(found.repeats for found in done.gathered) == (1 if within else 0)
        assert any(row.contention.contended for row in rows(done, ENTRIES)) == (not within)


def test_a_disturbed_look_is_repeated_and_keeps_the_stages_of_all_its_photos(tmp_path: Path) -> None:
    class Disturbed(Machine):
        """While a look asks for one photo; of the short stages of its repeat, rounding tells less than nothing."""

        def _answer(self, task: Task, *, memory: bool) -> Any:
            found = super()._answer(task, memory=memory)
            quiet = Load(1.0, 0.0, 0.0, 0.0, 0.0, 3e9)
            if isinstance(found, Look):
                seen = replace(found.measurement, loads=(replace(quiet, others=0.9),), stage_loads=(quiet,))
                return replace(found, measurement=replace(seen, stages=StageSums(photos=3, total=9)))
            return replace(found, stage_loads=(replace(quiet, others=-0.05),)) if task.job is Job.LATENCY else found

    done = look(tmp_path, Disturbed(), entries=ENTRIES[1:], repeats=1.0)
    (row,) = rows(done, ENTRIES[1:])
    assert row.contention.repeats == 1
    assert not row.contention.contended
    assert done.gathered[0].rounds[0].stages == StageSums(photos=3, total=9)
    busy = look(tmp_path / "busy", Disturbed(), entries=ENTRIES[1:], repeats=1.0, within=0.0)
    (row,) = rows(busy, ENTRIES[1:])
    assert row.contention.reasons == ("other processes took 90% of a core",)


def test_a_row_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    class KerasDies(Machine):
        def _answer(self, task: Task, *, memory: bool) -> Any:
            return failed("killed by SIGKILL") if task.kind is Kind.REFERENCE else super()._answer(task, memory=memory)

    machine = KerasDies()
    reference = replace(ENTRIES[1], kind=Kind.REFERENCE, backend="keras", format="run")
    done = look(tmp_path, machine, entries=(*ENTRIES, reference))
    assert [found.error for found in done.gathered] == ["", "", "killed by SIGKILL"]
    assert sum(1 for task in machine.tasks if task.kind is Kind.REFERENCE) == 1
    assert done.gathered[0].accuracy is not None
    assert done.gathered[0].accuracy.difference is None


def test_the_way_back_is_the_same_after_a_row_failed(tmp_path: Path) -> None:
    class OneDies(Machine):
        def _answer(self, task: Task, *, memory: bool) -> Any:
            return failed("killed by SIGKILL") if task.threads == 3 else super()._answer(task, memory=memory)

    machine = OneDies()
    look(tmp_path, machine, entries=tuple(replace(ENTRIES[0], threads=threads) for threads in range(1, 7)))
    order = [task.threads for task in machine.tasks if task.seconds == 0.5 and task.job in (Job.LOOK, Job.LATENCY)]
    there, back = (order[:6], order[6:])
    assert sorted(there) == [1, 2, 3, 4, 5, 6]
    assert back == [threads for threads in reversed(there) if threads != 3]


def test_where_every_row_fails_nothing_else_is_asked(tmp_path: Path) -> None:
    class AllDie(Machine):
        def _answer(self, task: Task, *, memory: bool) -> Any:
            return super()._answer(task, memory=memory) if task.job is Job.CEILING else failed("killed by SIGKILL")

    machine = AllDie()
    done = look(tmp_path, machine)
    assert [found.error for found in done.gathered] == ["killed by SIGKILL"] * 2
    assert len(machine.tasks) == 2 * 2 + 2


def test_minutes_of_sustained_work_do_not_count(tmp_path: Path) -> None:
    done = look(tmp_path, Machine(seconds=1.0), sustain=1, within=14.5)
    assert done.left_out == []
    assert done.has_time(2.0)  # of 14.5 seconds, the peak took 4, the looks 2 and each of the parts 2
    assert done.gathered[1].series is not None


def test_a_file_that_changes_meanwhile_is_a_failure(tmp_path: Path) -> None:
    class Changing(Machine):
        def sha256(self, task: Task) -> str:
            return "00" if task.job is Job.LOOK else super().sha256(task)

    done = look(tmp_path, Changing())
    assert done.gathered[1].error.endswith("tiny.onnx was changed while it was being measured")


def test_many_photos_are_answered_in_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("FEWEST", "MOST"):
        monkeypatch.setattr(request, number, 2)
    machine = Machine()
    done = look(tmp_path, machine)
    assert jobs(machine)[Job.ACCURACY] == 1
    assert jobs(machine)[Job.LOOK] == 0
    assert all(found.accuracy for found in done.gathered)


def test_a_killed_look_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = Machine()
    look(tmp_path / "whole", whole)
    with pytest.raises(KilledError):
        look(tmp_path / "out", Machine(dies_at=4))
    machine = Machine()
    done = look(tmp_path / "out", machine, resume=True)
    assert len(machine.tasks) == len(whole.tasks) - 4
    assert all(found.accuracy for found in done.gathered)


def test_the_number_of_photos_depends_on_the_network_and_not_on_the_rows() -> None:
    quick = EFFORTS["quick"]
    assert quick.photos(0) == quick.photos(10**9) == 100
    assert quick.photos(3 * 10**9) == 50
    assert quick.photos(10**11) == 10
    assert EFFORTS[""].photos(10**11) is None
    few, many = (make_plan(TINY / "tiny.onnx", "none", Ways(threads)) for threads in ((1,), (1, 2)))
    assert few.most_macs == many.most_macs == few.models[few.entries[0].path].macs > 0


def test_without_time_a_file_is_not_profiled_and_that_is_told(tmp_path: Path) -> None:
    machine = Machine(seconds=1.0)
    done = look(tmp_path, machine, within=10.2)
    row = rows(done, ENTRIES)[1]
    assert not done.evidence(row).profile.operators
    assert done.evidence(row).usable
    assert done.left_out == [LEFT_OUT[1], "profiles of what is not faster than expected"]
    data = Data("photos", "test", 3, 3, 3, "")
    told, *_ = make_remarks((), data, describe_machine(), done.left_out)
    assert told == (
        "Not measured, because --quick had no time left for it: many photos at once, profiles of what is not faster "
        "than expected. Without --quick everything is."
    )


def test_a_look_answers_as_the_whole_measurement_does(tmp_path: Path) -> None:
    files = [str(TINY / name) for name in ("blue.png", "red.png", "no.png")]
    listing = Listing(("red", "green", "blue"), tuple(files), (2, 0, 1))
    listing.write(tmp_path / "photos.json")
    task = Task(
        Job.LOOK, path=str(TINY / "tiny.onnx"), backend="onnxruntime", photos=(files[1],), seconds=0.1,
        listing=str(tmp_path / "photos.json"), result=str(tmp_path / "look.json"),
    )  # fmt: skip
    found = from_data(Look, FreshProcesses().run(task).answer, "answer")
    assert found.error == ""
    assert len(found.measurement.samples_ns) >= 5
    assert found.measurement.stages.photos == 2
    assert found.measurement.start_ns > 0
    assert len(found.measurement.stage_loads) >= 1
    asked = replace(task, job=Job.ACCURACY, result=str(tmp_path / "all.json"))
    assert from_data(Answered, FreshProcesses().run(asked).answer, "answer") == found.answered
    assert found.answered.unreadable == 1
    one, other = (Answers.read(arrays_of(result)) for result in (task.result, asked.result))
    assert list(one.answer) == [2, 0, -1]
    np.testing.assert_allclose(one.probability, other.probability, rtol=1e-5)
    assert list(one.rank) == list(other.rank)
