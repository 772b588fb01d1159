"""What install() tells of what it has done."""

from __future__ import annotations

import dataclasses

__all__ = ["Report"]


@dataclasses.dataclass
class Report:
    """What install() has done so far; it grows as more of the library is imported."""

    library: str
    version: str
    """Of the library."""
    rebuilt: list[str] = dataclasses.field(default_factory=list[str])
    """Classes defined before install(), rebuilt from their own definition on the compiled base. Those that
    the library defines later are on it from the start."""
    shared: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Name of a class of fastoutputs -> the library's class that it means while installed."""
    failed: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Classes left as they were -> why."""
    unknown: list[str] = dataclasses.field(default_factory=list[str])
    """Parts of the library's base that no tested release has: they run as written, in Python."""
    modules: list[str] = dataclasses.field(default_factory=list[str])
    """Modules in which a name was bound anew."""
    live_instances: int = 0
    """Outputs made before, which stay what they are."""
    waiting: bool = False
    """Whether the library is yet to be imported."""
    diffusers: Report | None = None
    """In the report on transformers: the one on diffusers, if that was asked for."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        what = f"{self.library} {self.version}:"
        more = self.diffusers._lines() if self.diffusers else []
        if self.waiting:
            return [
                f"{what} not imported yet; its output classes will be compiled from the start",
                *more,
            ]
        lines = [
            f"{what} {len(self.rebuilt)} output classes rebuilt, in {len(self.modules)} modules; "
            "later ones are compiled from the start"
        ]
        if self.unknown:
            lines.append(
                f"not known, run as written, so outputs are slower: {', '.join(self.unknown)}"
            )
        if self.live_instances:
            lines.append(
                f"{self.live_instances} outputs made before stay what they are: they are no "
                "instances of the new classes"
            )
        lines += [f"left as it was: {name}: {why}" for name, why in self.failed.items()]
        return lines + more
