"""What fetching a photo may take; apart from what fetches, which takes long to import."""

from __future__ import annotations

from dataclasses import dataclass

from edgewise.runtime.images import MAX_BYTES


@dataclass(frozen=True)
class Limits:
    """What a download may take."""

    seconds: float = 30.0  # in all, redirects included
    size: int = MAX_BYTES  # bytes
    redirects: int = 5
    private: bool = False  # addresses of the own machine and network are allowed
