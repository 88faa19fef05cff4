# SPDX-License-Identifier: Apache-2.0
"""The project's goals on a GPU, what was measured of each, and figures that are reported beside them. What was not measured stays open, and says so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One goal at one shape. `found` is empty where it was not measured; `reached` is None there, and where there is no goal but a figure to report."""
    name: str
    shape: str
    goal: str
    found: str = ""
    reached: bool | None = None


def one(rows, work, /, **where):
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
REPORTED = "reported"


def at(name, work, where, shape, goal, text, holds=None):
    """What is asked of the row of that work at that place, or only reported of it; `shape` and `text` are written from the row, `shape` also without it."""
    def bar(rows):
        row = one(rows, work, **where)
        if row is None:
            yield Bar(name, shape({}), goal)
        else:
            yield Bar(name, shape(row), goal, text(row), holds(row) if holds else None)
    return bar


def with_area(shape):
    return lambda row: f"{shape}, area {100 * row.get('area', 0.1):.0f}%"


def always(shape):
    return lambda row: shape


def products(rows):
    """Products of few rows are held against a copy, of many against a large product."""
    for count, shape in ((1, "1 row"), (8, "8 rows"), (128, "128 rows"), (2048, "2048 rows")):
        row = one(rows, "products, a layer", rows=count)
        share, of = ("share_of_copy", "of copy bandwidth") if count <= 8 else ("share_of_product", "of a large product's rate")
        yield Bar("products of a layer, 8B", shape, REPORTED, f"{100 * row[share]:.0f}% {of}" if row else "")


def whole_steps(rows):
    for shape, count, tokens in (("1 x 16k", 1, 16384), ("8 x 16k", 8, 16384), ("1 x 128k", 1, 131072)):
        its = [one(rows, "a whole step of decoding" + by, batch=count, tokens=tokens) for by in ("", ", queued anew", ", dense")]
        found = "{:.0f} tokens/s, {:.0f} where steps are queued anew, {:.0f} dense".format(*(r["tokens_per_second"] for r in its)) if all(its) else ""
        yield Bar("a whole step of decoding, 8B", shape, REPORTED, found)


def break_even(rows):
    found = sorted((r for r in rows if r["work"] == PROMPT), key=lambda r: r["tokens"])
    goal, faster = "<= 4k", [r for r in found if r["times_faster"] > 1]
    if not found:
        yield Bar("break-even of sparse with selection", "the smallest length", goal)
    else:
        said = faster[0]["shape"] if faster else f"more than {found[-1]['shape']}"
        yield Bar("break-even of sparse with selection", "the smallest length", goal, said, bool(faster) and faster[0]["tokens"] <= 4096)


LONG, LONG_TURN = {"tokens": 131072}, {"tokens": 131072 + 2048}
BARS = [
    dense_prefill,
    line_sparse,
    at("selection", PROMPT, LONG, with_area("whole prompt of 128k"), "<= 5% of dense", lambda r: f"{100 * r['selection_of_dense']:.1f}%", lambda r: r["selection_of_dense"] <= 0.05),
    at("line-sparse with selection", PROMPT, LONG, with_area("whole prompt of 128k"), ">= 6x dense (aim: 8x)", lambda r: f"{r['times_faster']:.1f}x", lambda r: r["times_faster"] >= 6),
    break_even,
    at("turn, attention with selection", TURN, LONG_TURN, with_area("2k over 128k"), ">= 5x dense", lambda r: f"{r['times_faster']:.1f}x", lambda r: r["times_faster"] >= 5),
    at("turn, whole, products included", "a whole turn", LONG_TURN, with_area("2k over 128k"), REPORTED, lambda r: f"{r['times_faster']:.2f}x dense, {r['us'] / 1e3:.0f} ms"),
    decode,
    share("sketch scores over rotating layers", "sketch scores", "share_of_copy", 131072, ">= 80% of copy bandwidth", lambda x: x >= 0.8),
    share("attention over the working set, with choosing, against the whole cache", "with recall / whole cache", "share", 131072, "<= 20%", lambda x: x <= 0.2),
    at("re-selection, a sixteenth of it each step", "re-selection, a sixteenth of it each step / whole cache", LONG, always("128k"), REPORTED,
       lambda r: f"{100 * r['share']:.1f}% of attention over the whole cache"),
    whole_steps,
    products,
]


def judged(rows):
    return [bar for bars in BARS for bar in bars(rows)]


def word(goal):
    """What became of a goal, as JSON has it."""
    if goal["reached"] is not None:
        return "reached" if goal["reached"] else "missed"
    return "measured" if goal["found"] else "not measured"
