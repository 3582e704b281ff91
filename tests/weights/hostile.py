"""Files made to harm or to mislead, each with a part of what must be said of it; some would write the file RAN."""

import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import torch
from torch import nn

GIGABYTE = 1 << 30


class Evil:
    """Its pickle runs a command where it is loaded by rule."""

    def __reduce__(self):
        return os.system, ("touch RAN",)


class EvilState:
    def __init__(self):
        self.x = 1

    def __setstate__(self, state):
        open("RAN", "w").close()


def torch_zip(data: bytes, storages=(), *, compress=zipfile.ZIP_STORED) -> bytes:
    """A zip such as torch.save writes, of a pickle and the bytes of its storages."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compress) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
        for number, storage in enumerate(storages):
            archive.writestr(f"archive/data/{number}", storage)
    return held.getvalue()


def whole(n: int) -> bytes:
    """The opcodes that put a whole number on the stack."""
    return pickle.dumps(n, 2)[2:-1]


def one_tensor(shape, strides, offset=0, count=4, key="0", name="w") -> bytes:
    """The pickle of {name: tensor} as torch.save writes it, whatever the numbers in it."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX" + struct.pack("<L", len(key)) + key.encode()
    storage += b"X\x03\x00\x00\x00cpu" + whole(count) + b"tQ"
    numbers = [b"(" + b"".join(map(whole, axis)) + b"t" for axis in (shape, strides)]
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + whole(offset) + b"".join(numbers) + b"\x89}tR"
    return b"\x80\x02}X" + struct.pack("<L", len(name)) + name.encode() + tensor + b"s."


def tensor_zip(*args, **kwargs) -> bytes:
    return torch_zip(one_tensor(*args, **kwargs), [bytes(16)])


def legacy(data: bytes, rest: bytes = b"") -> bytes:
    head = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    return b"".join(head) + data + rest


def safetensors(header, data=b"", length=None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape=(1,), offsets=(0, 4), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def npy(header: str, data=b"", version=1, length=None) -> bytes:
    text = header.encode()
    form = "<H" if version == 1 else "<L"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(form, len(text) if length is None else length) + text + data


def described(shape, descr="'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def saved(write, value, **options) -> bytes:
    held = io.BytesIO()
    write(held, value, **options)
    return held.getvalue()


def zip_of(members: dict, compress=zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compress, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


def overlapping() -> bytes:
    """A zip whose second member lies in the first one's bytes."""
    inner = zip_of({"archive/data/0": bytes(64)})[: 30 + 14 + 64]
    data = bytearray(zip_of({"archive/data.pkl": inner, "archive/data/0": bytes(64)}))
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 42 : directory + 46] = struct.pack("<L", data.index(inner))
    return bytes(data)


def twice() -> bytes:
    data = zip_of({"archive/data.pkl": b"x", "archive/data.pkm": b"y"})
    return data.replace(b"data.pkm", b"data.pkl")


def flagged(flag: int) -> bytes:
    data = bytearray(zip_of({"a.npy": npy(described("(1,)"), bytes(4))}))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= flag
    return bytes(data)


def large_directory() -> bytes:
    data = bytearray(zip_of({"a.npy": b"x"}))
    at = data.index(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<L", 0xFFFFFFF0)
    return bytes(data)


def laughs() -> bytes:
    """Lists of ten lists of ten lists, and so on: 10 ** 30 in all."""
    data = b"\x80\x02]q\x00"
    for number in range(30):
        data += b"](" + b"h" + bytes([number]) + (b"h" + bytes([number])) * 9 + b"eq" + bytes([number + 1])
    return data + b"."


def same_hash() -> bytes:
    """A dictionary of whole numbers that all have one hash."""
    keys = b"".join(b"\x8a\x0a" + ((2**61 - 1) * n).to_bytes(10, "little") + b"N" for n in range(1, 120_000))
    return b"\x80\x02}(" + keys + b"u."


def contents() -> dict[str, tuple[bytes, str]]:
    """Each file's name, with its bytes and a part of what must be said of it."""
    evil = pickle.dumps(Evil(), 2)
    named = lambda module, name: b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(X\x01\x00\x00\x00atR."  # noqa: E731
    whole_header = described("(4,)")
    return {
        # pickles that run code
        "system.pt": (torch_zip(evil), "needs posix.system"),
        "system-in-a-state-dict.pt": (torch_zip(pickle.dumps({"w": 1, "x": Evil()}, 2)), "needs posix.system"),
        "legacy-system.pth": (legacy(evil), "needs posix.system"),
        "before-the-magic.pth": (evil, "needs posix.system"),
        "renamed.safetensors": (evil, "is no .safetensors file: it begins as a pickle"),
        "renamed.npy": (evil, "is no .npy file: it begins as a pickle"),
        "zip.safetensors": (torch_zip(evil), "is no .safetensors file: it begins as a file of PyTorch"),
        "protocol-4.pt": (torch_zip(pickle.dumps(Evil(), 4)), "needs posix.system"),
        "eval.pt": (torch_zip(named("builtins", "eval")), "needs builtins.eval"),
        "getattr.pt": (torch_zip(named("builtins", "getattr")), "needs builtins.getattr"),
        "dotted.pt": (
            torch_zip(named("collections", "OrderedDict.__init__")),
            "needs collections.OrderedDict.__init__",
        ),
        "load.pt": (torch_zip(named("torch", "load")), "needs torch.load"),
        "hub.pt": (torch_zip(named("torch.hub", "load")), "needs torch.hub.load"),
        "numpy-load.pt": (torch_zip(named("numpy", "load")), "needs numpy.load"),
        "no-storage.pt": (torch_zip(named("torch.os", "SystemStorage")), "needs torch.os.SystemStorage"),
        "instance.pt": (torch_zip(b"\x80\x02(X\x01\x00\x00\x00aios\nsystem\n."), "step INST"),
        "object.pt": (torch_zip(b"\x80\x02(ccollections\nOrderedDict\no."), "step OBJ"),
        "extension.pt": (torch_zip(b"\x80\x02\x82\x01."), "step EXT1"),
        "persistent-text.pt": (torch_zip(b"\x80\x02Pnumber\n."), "step PERSID"),
        "new-with-words.pt": (torch_zip(b"\x80\x04ccollections\nOrderedDict\n)}\x92."), "step NEWOBJ_EX"),
        "state.pt": (torch_zip(pickle.dumps(EvilState(), 2)), "needs hostile.EvilState"),
        "calls-a-text.pt": (torch_zip(b"\x80\x02X\x01\x00\x00\x00a)R."), "calls what is no function"),
        "network.pt": (saved(lambda held, x: torch.save(x, held), nn.Conv2d(1, 1, 3)), "needs torch.nn.modules.conv"),
        "quantized.pt": (torch_zip(named("torch._utils", "_rebuild_qtensor")), "needs torch._utils._rebuild_qtensor"),
        "allocates.pt": (torch_zip(named("torch", "Tensor")), "needs torch.Tensor"),
        "script.pt": (zip_of({"a/data.pkl": evil, "a/code/a.py": "", "a/constants.pkl": evil}), "is TorchScript"),
        "program.pt2": (
            zip_of({"a/archive_format": "pt2", "a/models/model.json": "{}"}),
            "is a program of torch.export",
        ),
        # pickles that take for ever, or all memory
        "laughs.pt": (torch_zip(laughs()), "holds no tensor"),
        "nested.pt": (torch_zip(b"\x80\x02" + b"]" * 400_000 + b"a" * 399_999 + b"."), "holds no tensor"),
        "nested-tuples.pt": (torch_zip(b"\x80\x02)" + b"\x85" * 400_000 + b"."), "holds no tensor"),
        "nested-names.pt": (torch_zip(b"\x80\x04" + b"\x85" * 9 + b"."), "damaged"),
        "contains-itself.pt": (torch_zip(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."), "holds no tensor"),
        "one-hash.pt": (torch_zip(same_hash()), "keys are neither names nor numbers"),
        "far-memo.pt": (torch_zip(b"\x80\x02]r\xff\xff\xff\xff0j\xfe\xff\xff\xff."), "damaged"),
        "long-text.pt": (torch_zip(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"."), "damaged"),
        "many-steps.pt": (torch_zip(b"\x80\x02" + b"N0" * 1_000_000 + b"N."), "steps"),
        "long-pickle.pt": (torch_zip(b"\x80\x02" + b"N0" * 6_000_000 + b"N."), "is the most without the numbers"),
        "cut-pickle.pt": (torch_zip(one_tensor((4,), (1,))[:-9], [bytes(16)]), "damaged"),
        "no-end.pt": (torch_zip(b"\x80\x02N"), "damaged"),
        "long-name.pt": (tensor_zip((4,), (1,), name="n" * 5000), "names of more than"),
        # tensors that are not there
        "terabytes.pt": (tensor_zip((2, 2), (1 << 40, 1)), "reaches number"),
        "expanded.pt": (tensor_zip((1 << 20, 1 << 20), (0, 0)), "shows 1,099,511,627,776 numbers"),
        "huge-shape.pt": (tensor_zip((1 << 50, 1 << 50), (0, 0)), "more numbers than a file can hold"),
        "negative-shape.pt": (tensor_zip((-4,), (1,)), "no whole number from 0"),
        "negative-stride.pt": (tensor_zip((4,), (-1,)), "negative offset or stride"),
        "negative-offset.pt": (tensor_zip((4,), (1,), offset=-1), "negative offset or stride"),
        "far-offset.pt": (tensor_zip((4,), (1,), offset=1), "reaches number 5 of 4"),
        "fewer-strides.pt": (tensor_zip((2, 2), (1,)), "puts a tensor together from what is none"),
        "no-storage-there.pt": (tensor_zip((4,), (1,), key="../../etc/passwd"), "names a storage"),
        "negative-storage.pt": (tensor_zip((4,), (1,), count=-4), "names a storage as no PyTorch"),
        "legacy-cut.pth": (legacy(one_tensor((4,), (1,)) + pickle.dumps(["0"], 2), struct.pack("<q", 4)), "cut off"),
        "legacy-large.pth": (
            legacy(one_tensor((4,), (1,)) + pickle.dumps(["0"], 2), struct.pack("<q", 1 << 60) + bytes(16)),
            "cut off",
        ),
        "legacy-negative.pth": (
            legacy(one_tensor((4,), (1,)) + pickle.dumps(["0"], 2), struct.pack("<q", -4) + bytes(16)),
            "cut off",
        ),
        # zips
        "bomb.npz": (zip_of({"w.npy": npy(described("(30000000,)"), bytes(120_000_000))}, 8), "would swell"),
        "compressed.pt": (torch_zip(one_tensor((4,), (1,)), [bytes(4000)], compress=8), "torch.save never writes"),
        "overlapping.pt": (overlapping(), "share bytes"),
        "one-name-twice.pt": (twice(), "two members of one name"),
        "encrypted.npz": (flagged(1), "encrypted"),
        "patched.npz": (flagged(0x20), "compressed in an unusual way"),
        "large-directory.npz": (large_directory(), "list of members has"),
        "cut.pt": (tensor_zip((4,), (1,))[:-40], "damaged or was cut off"),
        "some-zip.pt": (zip_of({"readme.txt": "hello"}), "neither numpy's"),
        # safetensors
        "long-header.safetensors": (safetensors(b"{", length=101_000_000), "its header says that it has 101,000,000"),
        "endless-header.safetensors": (safetensors(b"{", length=2**64 - 1), "its header says"),
        "cut-header.safetensors": (safetensors({"w": entry()}, length=5000), "ends within its header"),
        "no-json.safetensors": (safetensors(b"{'w': print()}"), "no JSON"),
        "nested.safetensors": (safetensors(b'{"w":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "no JSON"),
        "no-text.safetensors": (safetensors(b'{"\xff": 1}'), "no JSON"),
        "long-number.safetensors": (safetensors(b'{"w": ' + b"9" * 100_000 + b"}"), "no JSON"),
        "one-name.safetensors": (safetensors(b'{"w": %s, "w": %s}' % ((json.dumps(entry()).encode(),) * 2)), "twice"),
        "overlap.safetensors": (safetensors({"a": entry(), "b": entry()}, bytes(4)), "share bytes"),
        "hole.safetensors": (safetensors({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)), "leave bytes"),
        "negative.safetensors": (safetensors({"w": entry(offsets=(-4, 0))}, bytes(4)), "no two places"),
        "backwards.safetensors": (safetensors({"w": entry(offsets=(4, 0))}, bytes(4)), "no two places"),
        "far.safetensors": (safetensors({"w": entry((1 << 40,), (0, 1 << 42))}, bytes(4)), "cut off"),
        "cut.safetensors": (safetensors({"w": entry((4,), (0, 16))}, bytes(12)), "cut off"),
        "too-long.safetensors": (safetensors({"w": entry()}, bytes(8)), "bytes too many"),
        "overflow.safetensors": (safetensors({"w": entry((1 << 40, 1 << 40), (0, 4))}, bytes(4)), "more numbers"),
        "wrong-size.safetensors": (safetensors({"w": entry((2,))}, bytes(4)), "need other bytes"),
        "minus.safetensors": (safetensors({"w": entry((-1,))}, bytes(4)), "no whole number from 0"),
        "true.safetensors": (safetensors({"w": entry((True,))}, bytes(4)), "no whole number from 0"),
        "type.safetensors": (safetensors({"w": entry(dtype="PICKLE")}, bytes(4)), "not known"),
        "list-type.safetensors": (safetensors({"w": entry(dtype=["F32"])}, bytes(4)), "not known"),
        "half.safetensors": (safetensors({"w": {"dtype": "F32"}}, bytes(4)), "does not say of each tensor"),
        "empty.safetensors": (safetensors({}), "holds no tensor"),
        # numpy
        "objects.npy": (saved(np.save, np.array([Evil()], object), allow_pickle=True), "Python objects"),
        "objects.npz": (zip_of({"a.npy": saved(np.save, np.array([Evil()], object), allow_pickle=True)}), "Python obj"),
        "record.npy": (npy(described("(1,)", "[('a', '<f4')]"), bytes(4)), "no plain numbers"),
        "time.npy": (npy(described("(1,)", "'<M8[s]'"), bytes(8)), "no plain numbers"),
        "cut.npy": (npy(described("(1000,)"), bytes(4)), "cut off"),
        "huge.npy": (npy(described("(999999999999,)"), bytes(4)), "cut off"),
        "minus.npy": (npy(described("(-1,)"), bytes(4)), "no whole number from 0"),
        "calls.npy": (npy(described("(1,)", "__import__('os').system('touch RAN')"), bytes(4)), "does not say descr"),
        "nested.npy": (npy("(" * 9_000), "does not say descr"),
        "long-header.npy": (npy(whole_header, bytes(16), version=2, length=4_000_000_000), "is the most"),
        "version.npy": (npy(whole_header, bytes(16), version=9), "version that is not known"),
        "begin.npy": (b"\x93NUMPY\x01", "version that is not known"),
        "no-member.npz": (zip_of({"a.npy": b"no array"}), "member 'a.npy'"),
        # what is no file of weights at all
        "nothing.pt": (b"", "is no file of weights"),
        "page.pt": (b"<!DOCTYPE html><html>Not found</html>", "is no file of weights"),
        "pointer.safetensors": (b"version https://git-lfs.github.com/spec/v1\n", "is no .safetensors file"),
        "noise.bin": (bytes(range(1, 255)), "is no file of weights"),
    }


def make_files(folder) -> dict[str, str]:
    """Write all of them into a folder, and return a part of what must be said of each."""
    said = {}
    for name, (data, words) in contents().items():
        (folder / name).write_bytes(data)
        said[name] = words
    with open(folder / "sparse-header.safetensors", "wb") as file:  # a header of 120 MB that is really there
        file.write(struct.pack("<Q", 120_000_000) + b"{")
        file.truncate(121_000_000)
    (folder / "folder.pt").mkdir()
    os.mkfifo(folder / "pipe.pt")
    (folder / "link-to-pipe.pt").symlink_to("pipe.pt")
    (folder / "link-to-itself.pt").symlink_to("link-to-itself.pt")
    (folder / "link-to-nothing.pt").symlink_to("nowhere.pt")
    (folder / "zeros.pt").symlink_to("/dev/zero")
    return said | {
        "sparse-header.safetensors": "its header says that it has 120,000,000",
        "folder.pt": "is a folder",
        "pipe.pt": "is not a regular file",
        "link-to-pipe.pt": "is not a regular file",
        "link-to-itself.pt": "cannot be read",
        "link-to-nothing.pt": "cannot be read",
        "zeros.pt": "is not a regular file",
    }
