"""What torch.save writes: a zip of one pickle and the numbers of each storage, or, until 2020, all in one row."""

import io
import struct
from dataclasses import replace
from typing import BinaryIO

from convfilter.weights.names import Found, open_wrappers
from convfilter.weights.pickles import LONGEST, Storage, read_pickle
from convfilter.weights.tensors import BYTES, Tensor, WeightsError, check_shape, check_view
from convfilter.weights.zips import Member

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # at the beginning of a file before PyTorch 1.6
VERSION = 1001
BIG = b"big"

Places = dict[str, tuple[int, int]]  # where each storage's bytes begin, and how many they are


def read_zip(file: BinaryIO, members: dict[str, Member]) -> Found:
    """Return the tensors that torch.save put into a zip.

    Raises:
        WeightsError: it is a program (TorchScript, torch.export), damaged, or needs code.
    """
    _refuse_programs(set(members))
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError("is a zip, and neither numpy's (members .npy) nor PyTorch's (one member data.pkl)")
    folder = pickles[0].removesuffix("data.pkl")
    if any(member.compressed for member in members.values()):
        raise WeightsError("is a compressed zip, which torch.save never writes")
    member = members[pickles[0]]
    if member.size > LONGEST:
        raise WeightsError(f"its pickle has {member.size:,} bytes, and {LONGEST:,} is the most without the numbers")
    file.seek(member.start)
    found = open_wrappers(read_pickle(io.BytesIO(file.read(member.size))))
    order = members.get(f"{folder}byteorder")
    if order is not None:
        file.seek(order.start)
    big = order is not None and file.read(len(BIG)) == BIG
    start = len(folder) + len("data/")
    places = {name[start:]: (m.start, m.size) for name, m in members.items() if name.startswith(f"{folder}data/")}
    return _placed(found, places, big)


def read_legacy(file: BinaryIO, size: int) -> Found:
    """Return the tensors that torch.save put into a file before PyTorch 1.6.

    Raises:
        WeightsError: it is damaged or needs code.
    """
    head = io.BytesIO(file.read(LONGEST))
    read_pickle(head)  # the magic number
    if read_pickle(head) != VERSION:
        raise WeightsError("was written by a PyTorch whose files are not known here; save it again with a newer one")
    storages: dict[str, Storage] = {}
    system, content, keys = read_pickle(head), read_pickle(head, storages), read_pickle(head)
    if not isinstance(system, dict) or not isinstance(keys, list):
        raise WeightsError("its pickle is damaged")
    big = system.get("little_endian") is False
    widths = {key: BYTES.get(storage.dtype, 1) for key, storage in storages.items()}
    places, at = {}, head.tell()
    for key in keys:
        file.seek(at)
        count = file.read(8)
        n = struct.unpack(">q" if big else "<q", count)[0] if len(count) == 8 and key in widths else -1
        if not 0 <= n <= (size - at - 8) // widths.get(key, 1):
            raise WeightsError("ends before its numbers do; it was cut off or is damaged")
        places[key] = at + 8, n * widths[key]
        at += 8 + n * widths[key]
    return _placed(open_wrappers(content), places, big)


def _placed(found: Found, places: Places, big: bool) -> Found:
    """The tensors with where their numbers lie, in place of the views of storages that a pickle has."""
    tensors = []
    for keys, view in found.tensors:
        if view.storage.key not in places:
            raise WeightsError("names a storage that the file does not hold; the file is damaged")
        begin, held = places[view.storage.key]
        width = BYTES[view.dtype]
        start, shape = begin + view.offset * width, check_shape(view.shape)
        tensor = Tensor(".".join(map(str, keys)), shape, view.dtype, start, view.strides, big=big)
        check_view(tensor, view.offset, held // width)
        tensors.append((keys, tensor))
    return replace(found, tensors=tuple(tensors))


def _refuse_programs(names: set[str]) -> None:
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise WeightsError(
            "is TorchScript, a program and not only weights; save torch.jit.load(FILE).state_dict() with torch.save"
        )
    if "archive_format" in inner or "models/model.json" in inner:
        raise WeightsError(
            "is a program of torch.export and not only weights; save torch.export.load(FILE).state_dict with torch.save"
        )
