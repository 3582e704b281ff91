"""What became of one picture."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Result:
    """What became of one source: ``status`` is done, skipped or failed, and ``error`` then says why.

    ``width`` and ``height`` are the upright picture's, ``shape`` (C, H, W) what came out, and ``ranges`` the least and
    greatest value of each channel written; of several frames, they are the last one's.
    """

    source: str
    status: str
    outputs: tuple[str, ...] = ()
    width: int | None = None
    height: int | None = None
    shape: tuple[int, int, int] | None = None
    ranges: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0
    error: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    details: tuple[str, ...] = field(default=(), compare=False)  # notes for those who want to know all
    fatal: bool = field(default=False, compare=False)

    def to_dict(self) -> dict:
        """Return what ``--json`` prints."""
        return {
            "source": self.source,
            "outputs": list(self.outputs),
            "width": self.width,
            "height": self.height,
            "shape": list(self.shape) if self.shape else None,
            "ranges": [list(pair) for pair in self.ranges],
            "seconds": round(self.seconds, 4),
            "status": self.status,
            "error": self.error,
        }
