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


def line_sparse(rows):
    goal, found = "<= 1.2 x area x own dense", [r for r in rows if r["work"].startswith("line-sparse prefill, area")]
    for row in found:
        if "of_area_times_dense" in row:
            yield Bar(row["work"], row["shape"], goal, f"{row['of_area_times_dense']:.2f}x", row["of_area_times_dense"] <= 1.2)
        else:
            yield Bar(row["work"], row["shape"], goal)
    if not found:
        yield Bar("line-sparse prefill", "32k to 512k, area 5 to 20%", goal)


TURN, PROMPT = "selection and attention, a turn", "selection and attention, whole prompt"


def of_a_turn(name, goal, field, text, holds):
    """What is asked of a turn of 2k over 128k."""
    def bar(rows):
        row = one(rows, TURN, tokens=131072 + 2048)
        if row is None:
            yield Bar(name, "2k over 128k, area 10%", goal)
        else:
            yield Bar(name, f"2k over 128k, area {100 * row['area']:.0f}%", goal, text(row[field]), holds(row[field]))
    return bar


def break_even(rows):
    found = sorted((r for r in rows if r["work"] == PROMPT), key=lambda r: r["tokens"])
    goal, faster = "<= 4k", [r for r in found if r["times_faster"] > 1]
    if not found:
        yield Bar("break-even of sparse with selection", "the smallest length", goal)
    else:
        said = faster[0]["shape"] if faster else f"more than {found[-1]['shape']}"
        yield Bar("break-even of sparse with selection", "the smallest length", goal, said, bool(faster) and faster[0]["tokens"] <= 4096)


BARS = [
    dense_prefill,
    line_sparse,
    of_a_turn("selection", "<= 5% of dense", "selection_of_dense", lambda x: f"{100 * x:.1f}%", lambda x: x <= 0.05),
    of_a_turn("attention with selection", ">= 6x dense", "times_faster", lambda x: f"{x:.1f}x", lambda x: x >= 6),
    break_even,
    decode,
    share("sketch scores over rotating layers", "sketch scores", "share_of_copy", 131072, ">= 80% of copy bandwidth", lambda x: x >= 0.8),
    share("attention over the working set, with choosing, against the whole cache", "with recall / whole cache", "share", 131072, "<= 20%", lambda x: x <= 0.2),
]


def judged(rows):
    return [bar for bars in BARS for bar in bars(rows)]
