"""The machines of a training, from the environment variable TF_CONFIG.

Source: https://www.tensorflow.org/guide/distributed_training#TF_CONFIG.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as short

from edgewise.spec import InputError

VARIABLE = "TF_CONFIG"
EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """All machines, and which of them this is."""

    addresses: tuple[str, ...]  # host:port; the first leads
    index: int  # of this machine

    @property
    def others(self) -> tuple[str, ...]:
        """Addresses of all machines but this one."""
        return (*self.addresses[: self.index], *self.addresses[self.index + 1 :])


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Read TF_CONFIG; None where it is not set or names one machine only.

    Raises:
        InputError: it is not what TensorFlow expects.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        content = json.loads(text)
        groups = {name: content["cluster"].get(name, []) for name in ("chief", "worker")}
        if set(content["cluster"]) - {"chief", "worker"}:
            raise ValueError("it has other machines than 'chief' and 'worker'")
        addresses = (*groups["chief"], *groups["worker"])
        if not all(isinstance(each, str) and re.fullmatch(r"\S+:\d{1,5}", each) for each in addresses):
            raise ValueError(f"not each of {short(addresses)} is an address as host:port")
        kind, index = content["task"]["type"], content["task"]["index"]
        if kind not in groups or not isinstance(index, int) or not 0 <= index < len(groups[kind]):
            raise ValueError(f"it has no {kind} {index}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"the environment variable {VARIABLE} cannot be used: {reason}", EXAMPLE) from error
    if len(addresses) == 1:
        return None
    return Cluster(addresses, index + (len(groups["chief"]) if kind == "worker" else 0))
