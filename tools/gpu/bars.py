# SPDX-License-Identifier: Apache-2.0
"""The project's goals on a GPU, and what was measured of each. What no program measures stays open, and says so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One goal at one shape; `found` is None where it was not measured, `reached` then too."""
    name: str
    shape: str
    goal: str
    found: str = ""
    reached: bool | None = None


def one(rows, work, **where):
    return next((r for r in rows if r["work"] == work and all(r.get(k) == v for k, v in where.items())), None)


def dense_prefill(rows):
    for tokens in (4096, 8192, 16384, 32768, 65536):
        shape, goal = f"{tokens >> 10}k", ">= 1.0x PyTorch's flash attention"
        own, flash, cudnn = (one(rows, "dense prefill" + by, tokens=tokens) for by in ("", ", PyTorch flash", ", PyTorch cuDNN"))
        if own is None or flash is None:
            yield Bar("dense prefill", shape, goal)
            continue
        found = f"{flash['us'] / own['us']:.2f}x" + (f", {cudnn['us'] / own['us']:.2f}x cuDNN's" if cudnn else "")
        yield Bar("dense prefill", shape, goal, found, flash["us"] / own["us"] >= 1)


def decode(rows):
    for row in (r for r in rows if r["work"] == "decode attention, whole cache" and r["tokens"] >= 32768):
        yield Bar("decode attention, whole cache", row["shape"], ">= 85% of copy bandwidth", f"{100 * row['share_of_copy']:.0f}%", row["share_of_copy"] >= 0.85)
    if one(rows, "decode attention, whole cache", tokens=32768) is None:
        yield Bar("decode attention, whole cache", "32k and more", ">= 85% of copy bandwidth")


def share(name, work, field, tokens, goal, holds):
    def bar(rows):
        row = one(rows, work, tokens=tokens)
        if row is None:
            yield Bar(name, f"{tokens >> 10}k", goal)
        else:
            yield Bar(name, f"{tokens >> 10}k", goal, f"{100 * row[field]:.0f}%", holds(row[field]))
    return bar


def not_yet(name, shape, goal):
    """Goals that no program measures."""
    return lambda _: iter([Bar(name, shape, goal)])


BARS = [
    dense_prefill,
    decode,
    share("sketch scores over rotating layers", "sketch scores", "share_of_copy", 131072, ">= 80% of copy bandwidth", lambda x: x >= 0.8),
    share("attention over the working set, with choosing, against the whole cache", "with recall / whole cache", "share", 131072, "<= 20%", lambda x: x <= 0.2),
    not_yet("line-sparse prefill", "32k to 512k, area 5 to 20%", "<= 1.2 x area x own dense"),
    not_yet("selection", "128k", "<= 5% of dense"),
    not_yet("line-sparse prefill with selection", "128k, area 10%", ">= 6x dense"),
    not_yet("break-even of sparse with selection", "the smallest length", "<= 4k"),
    not_yet("a turn of 2k over 128k", "area 10%", ">= 5x dense"),
]


def judged(rows):
    return [bar for bars in BARS for bar in bars(rows)]
