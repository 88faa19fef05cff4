# SPDX-License-Identifier: Apache-2.0
"""Reads and writes safetensors files (8 bytes of header length, a JSON header, then the tensors' bytes) with nothing but numpy."""

import json
import os
import struct

import numpy as np


def bf16_bits(values):
    """float32 -> bfloat16's bits, rounded to nearest even (finite values)."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def bf16_values(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _decode(kind, raw):
    if kind == "BF16":
        return bf16_values(np.frombuffer(raw, dtype="<u2"))
    if kind in ("F16", "F32", "F64"):
        return np.frombuffer(raw, dtype={"F16": "<f2", "F32": "<f4", "F64": "<f8"}[kind])
    raise ValueError(f"tensor type {kind} is not a floating-point type that this reader knows")


def _encode(kind, values):
    if kind == "BF16":
        return bf16_bits(values).tobytes()
    return values.astype({"F16": "<f2", "F32": "<f4"}[kind]).tobytes()


def read(path):
    """{name: float64 array} of one file."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = data[8 + length + begin : 8 + length + end]
        tensors[name] = _decode(entry["dtype"], raw).astype(np.float64).reshape(entry["shape"])
    return tensors


def read_folder(folder):
    """All tensors of a Hugging Face folder, sharded or not."""
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return read(os.path.join(folder, "model.safetensors"))
    with open(index) as file:
        shards = sorted(set(json.load(file)["weight_map"].values()))
    tensors = {}
    for shard in shards:
        tensors.update(read(os.path.join(folder, shard)))
    return tensors


def write(path, tensors, kind):
    """Writes {name: array} with every tensor in `kind` (BF16, F16 or F32)."""
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, values in tensors.items():
        blob = _encode(kind, values)
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write_sharded(folder, tensors, kind, shards):
    """Spreads the tensors over `shards` files with an index, as large models are shipped."""
    names = list(tensors)
    per_shard = -(-len(names) // shards)
    weight_map = {}
    for i in range(shards):
        file_name = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[i * per_shard : (i + 1) * per_shard]}
        write(os.path.join(folder, file_name), part, kind)
        weight_map.update({name: file_name for name in part})
    size = {"BF16": 2, "F16": 2, "F32": 4}[kind]
    total = sum(values.size for values in tensors.values()) * size
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, file, indent=1)
        file.write("\n")
