"""Where the members of a zip lie, as .npz and PyTorch's files are zips; one that would not be harmless is refused."""

import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from convfilter.weights.tensors import WeightsError

LONGEST = 10_000_000  # bytes of the directory: 100,000 members
END = 22  # bytes of a zip's last record without its comment
UNUSUAL = 0x61  # flags of members that are encrypted, or patches of others
RATIO, PLENTY = 100, 64 << 20  # no weights shrink to a hundredth, but for a few bytes


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip: its name, where its bytes begin, and how many they are when they are read and as stored."""

    name: str
    start: int
    size: int
    stored: int
    compressed: bool


def read_members(file: BinaryIO, size: int) -> dict[str, Member]:
    """Return the members of a zip of ``size`` bytes by their names.

    Raises:
        WeightsError: it is damaged, encrypted, or made to harm: members that overlap, or swell when they are read.
    """
    try:
        _check_directory(file, size)
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise WeightsError("is a zip that is damaged or was cut off") from error
    members, places = {}, []
    for info in infos:
        if info.flag_bits & UNUSUAL or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError("holds members that are encrypted, or compressed in an unusual way")
        if info.filename in members:
            raise WeightsError("is a zip that holds two members of one name; the file is damaged")
        start = _data_start(file, info)
        end = start + info.compress_size
        compressed = info.compress_type != zipfile.ZIP_STORED
        if end > size or not (compressed or info.compress_size == info.file_size):
            raise WeightsError("is a zip whose members reach past its end; it was cut off or is damaged")
        places.append((info.header_offset, end))
        members[info.filename] = Member(info.filename, start, info.file_size, info.compress_size, compressed)
    for (_, end), (first, _) in zip(sorted(places), sorted(places)[1:], strict=False):
        if first < end:
            raise WeightsError("is a zip whose members share bytes; the file is damaged")
    swollen, stored = sum(member.size for member in members.values()), sum(member.stored for member in members.values())
    if swollen > max(PLENTY, RATIO * stored):
        raise WeightsError(f"is a zip of {size:,} bytes that would swell to {swollen:,}; no weights do")
    return members


def _check_directory(file: BinaryIO, size: int) -> None:
    """Refuse a directory that would take long to read, before zipfile reads it."""
    file.seek(max(0, size - END - 65535))
    tail = file.read(END + 65535)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise zipfile.BadZipFile
    length = struct.unpack("<L", tail[at + 12 : at + 16])[0]
    if tail[at - 20 : at - 16] == b"PK\x06\x07":  # a zip of more than 4 GB says it elsewhere
        file.seek(struct.unpack("<Q", tail[at - 12 : at - 4])[0])
        record = file.read(56)
        length = struct.unpack("<Q", record[40:48])[0]
    if length > LONGEST:
        raise WeightsError(f"is a zip whose list of members has {length:,} bytes, and {LONGEST:,} is the most")


def _data_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset)
    header = file.read(30)
    if header[:4] != b"PK\x03\x04" or len(header) < 30:
        raise WeightsError("is a zip whose list of members is wrong; the file is damaged")
    name, extra = struct.unpack("<HH", header[26:30])
    return info.header_offset + 30 + name + extra
