"""Commands that run when a label appears."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.frames import Frame
from edgewise.runtime.live import Answer
from edgewise.runtime.reactions import Reaction, Reactions
from edgewise.runtime.region import Box
from edgewise.runtime.smoothing import Shown
from edgewise.spec import InputError

LABELS = ("red", "blue")
BASE = Answer(
    Frame(np.zeros((2, 2, 3), np.uint8), 7, 1.5, 0.0), Prediction("red", 0.9, (Score("red", 0, 0.9),)),
    Shown("red", 0.91, known=True), Box(0, 0, 2, 2), 20, 15, 8, 8, 0, 25,
)  # fmt: skip


def answer(label: str) -> Answer:
    return replace(BASE, shown=Shown(label, 0.91, known=label != "unknown"))


def notice(reactions: Reactions, *labels: str) -> list[str]:
    return [trouble for label in labels for trouble in reactions.notice(answer(label))]


def wait_for(path: Path, lines: int) -> list[str]:
    """The lines of a file, once there are so many; a minute is more than enough."""
    deadline = time.monotonic() + 60
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text().splitlines()


def appends(path: Path, text: str, more: str = "") -> str:
    return f"sh -c 'echo {text} >> {path}; {more}'"


def test_a_command_runs_on_each_change_to_its_label_and_is_told_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = '"$EDGEWISE_LABEL $EDGEWISE_PROBABILITY $EDGEWISE_FRAME $EDGEWISE_SECONDS $EDGEWISE_SOURCE"'
    reaction = Reaction.parse("red", appends(log, told), LABELS)
    with Reactions([reaction], every=0, source="camera 0") as reactions:
        assert notice(reactions, "blue", "red", "red", "red") == []
        assert wait_for(log, 1) == ["red 0.9100 7 1.500 camera 0"]
        for process in reactions._running.values():
            process.wait()  # it is over before its label comes again
        notice(reactions, "unknown", "red")
        assert len(wait_for(log, 2)) == 2
    assert reactions.skipped == 0


def test_soon_again_is_counted_and_starts_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Reactions([Reaction.parse("red", appends(log, "x"), LABELS)], every=3600, source="") as reactions:
        notice(reactions, "red", "blue", "red", "blue", "red")
        wait_for(log, 1)
    assert reactions.skipped == 2
    assert len(log.read_text().splitlines()) == 1


def test_nobody_waits_for_a_command_and_it_does_not_outlive_the_program(tmp_path: Path) -> None:
    log = tmp_path / "log"
    # The second one cannot be asked to end.
    commands = [appends(log, "x", "sleep 600"), f"sh -c 'trap : TERM; echo x >> {log}; sleep 600; sleep 600'"]
    with Reactions([Reaction.parse("red", line, LABELS) for line in commands], every=0, source="") as reactions:
        notice(reactions, "red", "blue", "red")
        assert reactions.skipped == 2
        wait_for(log, 2)
        running = list(reactions._running.values())
    assert [process.poll() is not None for process in running] == [True, True]


def test_a_command_that_the_last_frame_started_does_its_work(tmp_path: Path) -> None:
    done = tmp_path / "done"
    for _ in range(5):
        with Reactions([Reaction.parse("red", f"touch {done}", LABELS)], every=0, source="test") as reactions:
            assert reactions.notice(BASE) == []
        assert done.exists()
        done.unlink()


def test_a_command_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("neither a script nor a program")
    program.chmod(0o755)
    with Reactions([Reaction.parse("unknown", str(program), LABELS)], every=0, source="") as reactions:
        (trouble,) = notice(reactions, "unknown")
    assert trouble.startswith(f"--on-label unknown: {program} cannot be started: ")


@pytest.mark.parametrize(
    ("label", "command", "message"),
    [
        ("green", "true", "--on-label green\nExpected: one of red, blue, unknown"),
        ("red", "echo 'x", '--on-label red "echo \'x": No closing quotation\nExpected: a command as in a shell'),
        ("red", "no-such-program-4711 x", "--on-label red: no program 'no-such-program-4711'\nExpected: a program"),
        ("red", "", "--on-label red: no program ''"),
    ],
)
def test_commands_that_cannot_work_are_refused_at_the_start(label: str, command: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Reaction.parse(label, command, LABELS)
    assert message in str(caught.value)
