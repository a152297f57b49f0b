"""What a file is that is not a checkpoint: named from its first bytes, so that the error can say what to do."""

from __future__ import annotations

import json
import string
import zipfile
from typing import BinaryIO

# torch.save's older, zip-less format opens with this number, pickled; it follows the protocol byte (and, from
# protocol 4 on, a frame's length).
_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_HEAD_BYTES = 4096

_BY_PREFIX = (
    (b"\x89HDF", "an HDF5 (Keras) file"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x1f\x8b", "gzip-compressed data; unpack it first"),
    (b"BZh", "bzip2-compressed data; unpack it first"),
    (b"\xfd7zXZ", "xz-compressed data; unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (b"\x7fELF", "a program or shared library"),
)


def is_torch_file(file: BinaryIO) -> bool:
    """Whether `file` opens like something that torch.save wrote (zip archive or the older format)."""
    head = _head(file)
    return head.startswith(b"PK\x03\x04") or (head.startswith(b"\x80") and _LEGACY_MAGIC in head[:32])


def describe_zip(file: BinaryIO) -> str | None:
    """What is wrong with the zip archive `file` as a checkpoint, None where nothing is (or it is no zip)."""
    if not _head(file).startswith(b"PK\x03\x04"):
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except Exception:  # hostile bytes raise more than BadZipFile: struct.error, UnicodeDecodeError, ...
        return "cut short or damaged: a zip archive without a readable table of contents"
    names = [record.filename for record in records]
    leaves = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in leaves:
        return "a TorchScript archive (code and weights), not a training checkpoint"
    if "data.pkl" in leaves:
        # Compressed records may unpack to any size.
        compressed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
        return "compressed again after torch.save, which stores records as they are" if compressed else None
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)"
    return "a zip archive that torch.save did not write; if the checkpoint is inside, unpack it first"


def describe(file: BinaryIO) -> str:
    """What `file`, which torch.save did not write, looks like."""
    head = _head(file)
    for prefix, description in _BY_PREFIX:
        if head.startswith(prefix):
            return description
    if _is_safetensors(head):
        return "a safetensors file"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    # ONNX's ModelProto: field 1 (ir_version) as a small varint, then another field of the message.
    if len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 64 and head[2] in (0x12, 0x1A, 0x3A, 0x42):
        return "an ONNX model"
    if head.startswith(b"\x80"):
        return "a Python pickle that torch.save did not write"
    return _describe_text(head)


def _describe_text(head: bytes) -> str:
    text = head.decode("utf-8", errors="replace")
    printable = sum(character in string.printable or ord(character) > 160 for character in text)
    if "\ufffd" in text[:-1] or printable < len(text):
        return "unknown binary data"
    opening = text.lstrip("\ufeff \t\r\n").lower()
    if opening.startswith(("<!doctype html", "<html")):
        return "an HTML page (perhaps a download or login page saved in the file's place)"
    if opening.startswith(("{", "[")):
        return "JSON text"
    return f"text that opens with {text.strip()[:40]!r}"


def _is_safetensors(head: bytes) -> bool:
    """Safetensors: a little-endian u64 with the header's length, then a JSON object."""
    if len(head) < 10 or head[8:9] != b"{":
        return False
    length = int.from_bytes(head[:8], "little")
    if length + 8 <= len(head):
        try:
            json.loads(head[8 : 8 + length])
        except ValueError:
            return False
    return length < 1 << 32


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    return head
