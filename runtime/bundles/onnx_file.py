"""ONNX files: whether one keeps its weights elsewhere, found without the onnx library.

A tensor with external data names a file, and loading the model reads that file: unhashed weights at best,
any file of the machine at worst. So no model of a bundle may have one, and none is given to a parser before
this is known. Only the messages in which a tensor can lie are followed (field numbers of onnx.proto3).
"""

from collections.abc import Iterator

from lsu.runtime.errors import InputError

_LENGTHS = {1: 8, 5: 4}  # wire types of fixed length -> bytes (protobuf encoding)
_DEEPEST = 64

_INSIDE = {
    # message -> field -> the message in it
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL = {13, 14}  # TensorProto.external_data and .data_location
_NAME = 8  # TensorProto.name


def refuse_external_data(model: bytes, where: str) -> None:
    """Raise InputError when a tensor's data lie outside the file, or it is no ONNX file; `where` names it."""
    try:
        tensor = _external_tensor(memoryview(model), "model", 0)
    except (IndexError, ValueError) as error:
        raise InputError(f"{where}: not an ONNX file: {error}") from error
    if tensor is not None:
        raise InputError(
            f"{where}: the data of tensor {tensor!r} lie in another file, which nothing vouches for: "
            "save the model with all weights inside"
        )


def _external_tensor(message: memoryview, kind: str, depth: int) -> str | None:
    """The name of the first tensor below a message whose data are elsewhere."""
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} levels deep")
    if kind == "tensor":
        return _name_if_external(message)
    inside = _INSIDE[kind]
    for field, value in _fields(message):
        if field in inside:
            if not isinstance(value, memoryview):
                raise ValueError(f"field {field} of a {kind} is not a message")
            found = _external_tensor(value, inside[field], depth + 1)
            if found is not None:
                return found
    return None


def _name_if_external(tensor: memoryview) -> str | None:
    name, external = "", False
    for field, value in _fields(tensor):
        # data_location is an enum whose 0 says: inside
        external = external or (field in _EXTERNAL and value != 0)
        if field == _NAME and isinstance(value, memoryview):
            name = bytes(value[:80]).decode(errors="replace")
    return name if external else None


def _fields(message: memoryview) -> Iterator[tuple[int, "memoryview | int"]]:
    """Number and value of each field: bytes of messages and texts, numbers of varints, 0 for fixed ones."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        if key < 8 or key >> 32:  # what readers make of such a number differs
            raise ValueError("a field's number cannot be")
        wire = key & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        length, position = _varint(message, position) if wire == 2 else (_LENGTHS.get(wire, -1), position)
        if length < 0 or position + length > len(message):
            raise ValueError("cut off, or not of this format")
        yield key >> 3, message[position : position + length] if wire == 2 else 0
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number at a position and the position after it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
    raise ValueError("a number is longer than 64 bits")
