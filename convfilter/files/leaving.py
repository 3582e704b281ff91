"""Writes the outputs of a picture under temporary names, and leaves it to another process to give them their names."""

from typing import Any

from convfilter.files.transaction import OutputWriter, Transaction, Unnamed, Written


class LeavingWriter(OutputWriter):
    """After a commit ``written`` says what is to be renamed, and ``left`` are the files, still locked for this run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.written: list[Written] = []
        self.left: list[Unnamed] = []

    def transaction(self) -> Transaction:
        return _Leaving(self)


class _Leaving(Transaction):
    _writer: LeavingWriter

    def commit(self) -> None:
        self._writer.written = self.finish()
        self._writer.left = self.leave()
