"""The engines, each in a module of its own behind the Protocol in `edgewise.runtime.engines.base`.

A further engine is a module with a ``KIND``, and one line here.
"""

from __future__ import annotations

from importlib.util import find_spec

from edgewise.runtime.engines import litert, onnxruntime, openvino
from edgewise.runtime.engines.base import Kind
from edgewise.spec import Format

KINDS: tuple[Kind, ...] = (litert.KIND, onnxruntime.KIND, openvino.KIND)
"""All that are known, those of the base install first."""


def kinds_for(model_format: Format) -> tuple[Kind, ...]:
    """Those that run files of this format, the usual one first."""
    return tuple(kind for kind in KINDS if model_format in kind.formats)


def kind_called(name: str) -> Kind:
    """The one of that name. Raises KeyError where there is none."""
    return {kind.name: kind for kind in KINDS}[name]


def is_installed(kind: Kind) -> bool:
    """Whether its module can be found; it is not imported."""
    return find_spec(kind.module) is not None


__all__ = ["KINDS", "is_installed", "kind_called", "kinds_for"]
