"""What the measurements of `edgewise.runtime.tuning` found, remembered for each file and machine.

One JSON file each, in ``tuning-1`` in the cache folder, named by the digests of the model file and of the machine. What
is there and cannot be understood is measured again; where nothing can be written, nothing is remembered.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from edgewise.runtime.backends import Choice
from edgewise.runtime.cpu import cpu_fields, cpu_flags
from edgewise.runtime.tuning import Plan, Tuning
from edgewise.spec import OutputError
from edgewise.spec.cache import cache_folder
from edgewise.spec.files import write_text

FOLDER = "tuning-1"
"""The number is that of the files' format."""

MAX_BYTES = 1 << 16


def machine(choices: Sequence[Choice], cores: int) -> dict[str, Any]:
    """What the fastest way depends on, beside the file.

    Args:
        choices: what takes part, one for each engine.
        cores: CPU threads that are used at most.
    """
    return {
        "cpu": _cpu(),
        "architecture": platform.machine(),
        "cores": cores,
        "engines": {choice.kind.name: choice.kind.version() for choice in choices},
        "provider": choices[0].settings.provider,
        "precision": choices[0].settings.precision,
    }


def tuned(sha256: str, fingerprint: Mapping[str, Any], measure: Callable[[], Tuning], *, retune: bool) -> Tuning:
    """What was found for a file on this machine, measured now where it is not known.

    Args:
        sha256: of the file.
        fingerprint: of the machine, from `machine`.
        measure: measures it.
        retune: measure in any case.
    """
    text = json.dumps(fingerprint, sort_keys=True)
    path = cache_folder() / FOLDER / f"{sha256}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    known = None if retune else _read(path, fingerprint)
    if known is not None:
        return known
    found = measure()
    with suppress(OutputError):
        write_text(path, json.dumps({"machine": dict(fingerprint), **asdict(found)}, indent=1) + "\n")
    return found


def _read(path: Path, fingerprint: Mapping[str, Any]) -> Tuning | None:
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(MAX_BYTES))
        if data.pop("machine") != fingerprint:
            return None
        engines, cores = fingerprint["engines"], fingerprint["cores"]
        single, bulk = (_plan(data.pop(name), engines, cores) for name in ("single", "bulk"))
        found = Tuning(single=single, bulk=bulk, **data)
        return found if all(map(isfinite, (found.milliseconds, found.rate, found.seconds))) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _plan(data: Mapping[str, Any], engines: Mapping[str, str], cores: int) -> Plan:
    """Raises ValueError, TypeError or KeyError for what is no plan."""
    plan = Plan(**data)
    numbers = (plan.threads, plan.streams, plan.batch)
    sound = all(isinstance(number, int) and 1 <= number <= 1024 for number in numbers)
    if plan.backend not in engines or not sound or plan.threads * plan.streams > cores:
        raise ValueError("no plan for this machine")
    return plan


def _cpu() -> str:
    """Model of the CPU, as the system calls it."""
    named = cpu_fields()
    return named.get("model name") or named.get("Model") or " ".join(sorted(cpu_flags())) or platform.processor()
