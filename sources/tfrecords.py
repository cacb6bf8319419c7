"""TFRecord files: single records by number, with their checksums, and the messages in them.

A record is its length (uint64), the masked CRC-32C of that, its bytes, and the masked CRC-32C of those, all little
endian (tensorflow/core/lib/io/record_writer.h). The messages are those of tensorflow/core/example/example.proto,
declared here to Google's own protobuf library: TensorFlow itself is half a gigabyte.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import IO, Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from numpy.typing import NDArray

from schemas.errors import InputError
from sources.identity import fingerprint
from sources.places import open_binary

_LARGEST = 1 << 29
"""Bytes that one record may have."""
_HEADER, _FOOTER = 12, 4
_PACKAGE = "dataclaw.tfrecords"
_COPY = "Copy it again"


@dataclass(frozen=True)
class Index:
    """Where the records of a file begin and how long they are, in bytes. `damage`: why it ends early, if it does."""

    begins: array[int]
    lengths: array[int]
    damage: str = ""

    def __len__(self) -> int:
        return len(self.begins)


def record_index(uri: str) -> Index:
    """The records of a file by their headers alone. Kept while the file does not change.

    Raises:
        schemas.errors.InputError: the file cannot be read.
    """
    return _index(uri, fingerprint(uri))


def read_record(uri: str, number: int) -> bytes:
    """One record, checked, without reading those before it.

    Raises:
        schemas.errors.InputError: there is no such record, or it is damaged.
    """
    index = record_index(uri)
    if number >= len(index):
        cause = f"has {len(index)} whole records, none with number {number}"
        raise InputError(uri, f"{cause}: {index.damage}" if index.damage else cause, _COPY)
    length = index.lengths[number]
    try:
        with open_binary(uri) as file:
            file.seek(index.begins[number])
            data = file.read(length + _FOOTER)
    except OSError as error:
        raise InputError(uri, f"cannot be read: {error.strerror or error}", "Check its permissions") from error
    if len(data) != length + _FOOTER or not _is_sound(data[:length], data[length:]):
        raise InputError(uri, f"record {number} is damaged: its checksum is wrong", _COPY)
    return data[:length]


class Example:
    """A tf.train.Example or SequenceExample: lists of bytes or of numbers by name.

    Each list of a SequenceExample is one list here: that of its steps, one after another.

    Raises:
        schemas.errors.InputError: the record is no such message. `uri` is what the error calls it.
    """

    def __init__(self, uri: str, record: bytes) -> None:
        # The context of a SequenceExample has the number and type of the features of an Example: one parser for both.
        self._message = _message_class()()
        try:
            self._message.ParseFromString(record)
        except message.DecodeError as error:
            raise InputError(uri, "the record is no tf.train.Example", "Write the data set again") from error

    def count(self, name: str) -> int:
        """How many values there are under a name; 0 where it is unknown."""
        return sum(len(values) for values in self._values(name))

    def texts(self, name: str) -> list[bytes]:
        """The values under a name that holds bytes."""
        return [value for values in self._values(name) for value in values if isinstance(value, bytes)]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """The values under a name that holds numbers, (n,); empty where it holds bytes."""
        parts = [np.array(values, np.float64) for values in self._values(name) if not isinstance(values[0], bytes)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _values(self, name: str) -> list[Sequence[Any]]:
        features = self._message.context.feature
        lists = self._message.feature_lists.feature_list
        found = [features[name]] if name in features else lists[name].feature if name in lists else []
        kinds = ((feature, feature.WhichOneof("kind")) for feature in found)
        values = (getattr(feature, kind).value for feature, kind in kinds if kind)
        return [held for held in values if len(held)]


@lru_cache(maxsize=64)
def _index(uri: str, sign: str) -> Index:
    begins, lengths, damage = array("Q"), array("Q"), ""
    try:
        with open_binary(uri) as file:
            size = file.seek(0, 2)
            place = 0
            while place < size and not damage:
                length, damage = _length(file, place, size)
                if not damage:
                    begins.append(place + _HEADER)
                    lengths.append(length)
                    place += _HEADER + length + _FOOTER
    except OSError as error:
        raise InputError(uri, f"cannot be read: {error.strerror or error}", "Check its permissions") from error
    return Index(begins, lengths, damage or ("" if size else "the file is empty (zero bytes)"))


def _length(file: IO[bytes], place: int, size: int) -> tuple[int, str]:
    """The length of the record at a place, and what is wrong with it."""
    file.seek(place)
    header = file.read(_HEADER)
    if place == 0 and header[:2] == b"\x1f\x8b":
        return 0, "it is compressed with gzip, which must be unpacked first"
    if len(header) < _HEADER:
        return 0, f"it breaks off at byte {place}"
    if not _is_sound(header[:8], header[8:]):
        return 0, f"it is no TFRecord file, or damaged at byte {place}: the checksum of a length is wrong"
    length = int(struct.unpack("<Q", header[:8])[0])
    if place + _HEADER + length + _FOOTER > size:
        return 0, f"it breaks off in the record that begins at byte {place}"
    if length > _LARGEST:
        return 0, f"the record at byte {place} has {length} bytes, more than {_LARGEST}"
    return length, ""


def _is_sound(data: bytes, checksum: bytes) -> bool:
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return len(checksum) == _FOOTER and masked == int(struct.unpack("<I", checksum)[0])


@cache
def _message_class() -> Any:
    """The class of tf.train.SequenceExample, in a pool of its own: the common one may hold TensorFlow's."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_declaration())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.SequenceExample"))


def _declaration() -> descriptor_pb2.FileDescriptorProto:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tfrecords.proto", package=_PACKAGE, syntax="proto3")

    def declare(owner: Any, name: str, number: int, kind: int, of: str = "", repeated: bool = False) -> Any:
        label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
        field = owner.field.add(name=name, number=number, type=kind, label=label)
        if of:
            field.type_name = f".{_PACKAGE}.{of}"
        return field

    def declare_map(name: str, field: str, of: str) -> None:
        owner = file.message_type.add(name=name)
        entry_name = "".join(word.capitalize() for word in field.split("_")) + "Entry"
        entry = owner.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        declare(entry, "key", 1, kinds.TYPE_STRING)
        declare(entry, "value", 2, kinds.TYPE_MESSAGE, of)
        declare(owner, field, 1, kinds.TYPE_MESSAGE, f"{name}.{entry_name}", repeated=True)

    lists = {"BytesList": kinds.TYPE_BYTES, "FloatList": kinds.TYPE_FLOAT, "Int64List": kinds.TYPE_INT64}
    for name, kind in lists.items():
        declare(file.message_type.add(name=name), "value", 1, kind, repeated=True)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (field, of) in enumerate(zip(("bytes_list", "float_list", "int64_list"), lists, strict=True), 1):
        declare(feature, field, number, kinds.TYPE_MESSAGE, of).oneof_index = 0
    declare_map("Features", "feature", "Feature")
    declare(file.message_type.add(name="FeatureList"), "feature", 1, kinds.TYPE_MESSAGE, "Feature", repeated=True)
    declare_map("FeatureLists", "feature_list", "FeatureList")
    sequence = file.message_type.add(name="SequenceExample")
    declare(sequence, "context", 1, kinds.TYPE_MESSAGE, "Features")
    declare(sequence, "feature_lists", 2, kinds.TYPE_MESSAGE, "FeatureLists")
    return file
