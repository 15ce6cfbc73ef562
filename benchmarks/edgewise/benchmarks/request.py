"""What a user asks a benchmark for, and how much time it takes itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from edgewise.benchmarks.recommendation import Limits
from edgewise.spec import InputError

FEWEST, MOST = 10, 100
"""Photos of a first look."""

LOOK_MACS = 150_000_000_000
"""Multiply-accumulates that its photos take in each row at most, unless they are the fewest: about a second."""


@dataclass(frozen=True)
class Effort:
    """How long is measured."""

    seconds: float  # for the single queries of each row, all rounds together, > 0
    rounds: int  # fresh processes for them, >= 1; each counts as one observation
    offline_seconds: float  # for many photos at once, each round of each row
    offline_rounds: int  # fresh processes for them, >= 1; of a first look, where there is time for them
    peak_seconds: float  # for the machine's peak, each number of threads
    repeats: float  # rounds that may be measured again for being disturbed, as a share of all
    threads: str  # numbers of threads, unless others are asked for
    first_look: bool = False  # without plain loops, memory and bulk of the reference, and batches on CPUs
    within: float = inf  # seconds for everything; what can be left out is left out when they are over

    @property
    def each(self) -> float:
        """Seconds of a round of single queries."""
        return self.seconds / self.rounds

    def photos(self, macs: int) -> int | None:
        """How many photos are answered, unless a number is asked for; None: all.

        It depends on nothing but the network, so that first looks at two releases, or on two machines, are at the same
        photos.

        Args:
            macs: multiply-accumulates of one photo, of the largest network; 0: not known.
        """
        return max(FEWEST, min(MOST, LOOK_MACS // max(1, macs))) if self.first_look else None


_SHORT = Effort(1.2, 2, 0.8, 1, 0.6, 0.25, "all")

EFFORTS = {
    "quick": replace(_SHORT, first_look=True, within=50.0),
    "in turns": _SHORT,  # beside what `edgewise compare` measures in turns itself
    "": Effort(10.0, 10, 2.0, 2, 1.5, 0.5, "1,all"),
    "thorough": Effort(40.0, 20, 5.0, 4, 3.0, 1.0, "1,all"),
}
"""By mode."""


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    release: Path  # release folder, folder of model files, or one model file
    data: Path  # folder of class folders, or of split folders of class folders
    out: Path  # folder for the reports
    reference: str | None = None  # run folder to compare with; "none"; None: the one that the release names
    threads: str = ""  # such as "1,2,all"; empty: as the mode says
    backends: tuple[str, ...] = ()  # only these; empty: every one that is installed
    providers: tuple[str, ...] = ()  # only these; empty: every one that a backend offers here
    split: str = "test"  # of the data, where it has splits
    limit: int | None = None  # number of photos, the same of each class; None: as the mode says
    seed: int = 0  # of that choice and of the order of the rounds
    seconds: float | None = None  # for the single queries of each row; None: as the mode says
    mode: str = ""  # a key of EFFORTS
    ood: Path | None = None  # folder of photos that are of no class
    sustain_minutes: float = 0.0  # of each file on each backend, with the most threads; 0: not measured
    resume: bool = False  # go on with a benchmark that was not finished
    overwrite: bool = False  # replace an earlier report in ``out``
    command: tuple[str, ...] = ()  # the command line, for the record
    limits: Limits = field(default_factory=Limits)  # for the recommendation

    def effort(self) -> Effort:
        """How long is measured.

        Raises:
            InputError: an impossible time or mode.
        """
        if self.mode not in EFFORTS:
            raise InputError(f"the mode '{self.mode}'", "one of quick, thorough, or none")
        usual = EFFORTS[self.mode]
        seconds = usual.seconds if self.seconds is None else self.seconds
        if not 0 < seconds < inf or not 0 <= self.sustain_minutes < inf:
            raise InputError(
                f"--seconds is {seconds:g} and --sustain is {self.sustain_minutes:g}", "times above 0, --sustain or 0"
            )
        return replace(usual, seconds=seconds)
