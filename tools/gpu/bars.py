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


def one(rows, work, /, *fields, **where):
    """The row of that work, at that place, that has these fields."""
    return next((r for r in rows if r["work"] == work and all(f in r for f in fields) and all(r.get(k) == v for k, v in where.items())), None)


FLASH, CUDNN = ", PyTorch flash", ", PyTorch cuDNN"


def groups(row):
    """What is said of PyTorch's rows where it took no groups of heads and read keys and values for every query head: more than ours did."""
    return f" with {row['kv_heads']} KV heads" if "kv_heads" in row else ""


def dense_prefill(rows):
    for tokens in (4096, 8192, 16384, 32768, 65536):
        shape, goal = f"{tokens >> 10}k", ">= 1.0x PyTorch's flash attention"
        own, flash, cudnn = (one(rows, "dense prefill" + by, tokens=tokens) for by in ("", FLASH, CUDNN))
        if own is None or flash is None:
            yield Bar("dense prefill", shape, goal)
            continue
        found = f"{flash['us'] / own['us']:.2f}x{groups(flash)}" + (f", {cudnn['us'] / own['us']:.2f}x cuDNN's{groups(cudnn)}" if cudnn else "")
        yield Bar("dense prefill", shape, goal, found, flash["us"] / own["us"] >= 1)


def decode(rows):
    goal = ">= 85% of copy bandwidth"
    for work, least, shape in (("decode attention, whole cache", 32768, "32k and more"), ("decode attention, whole cache of f16", 131072, "128k")):
        for row in (r for r in rows if r["work"] == work and r["tokens"] >= least and "share_of_copy" in r):
            yield Bar(work, row["shape"], goal, f"{100 * row['share_of_copy']:.0f}%", row["share_of_copy"] >= 0.85)
        if one(rows, work, "share_of_copy", tokens=least) is None:
            yield Bar(work, shape, goal)


def share(name, work, field, tokens, goal, holds):
    def bar(rows):
        row = one(rows, work, field, tokens=tokens)
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


def near_a_tenth(holds):
    """Goals at an area of 10% are judged where lines are chosen of about that: an area far from it is an easier goal, or a harder one."""
    return lambda row: holds(row) if 0.08 <= row["area"] <= 0.12 else None


def with_area(shape):
    return lambda row: f"{shape}, area {100 * row.get('area', 0.1):.0f}%"


def always(shape):
    return lambda row: shape


COPY, PRODUCT = ("share_of_copy", "of copy bandwidth"), ("share_of_product", "of a large product's rate")


def short_turn(rows):
    """Which of both bounds a few rows over a long history are near to."""
    row = one(rows, "dense prefill, a short turn", COPY[0], PRODUCT[0])
    found = f"{row['us']:.0f} us, " + ", ".join(f"{100 * row[share]:.0f}% {of}" for share, of in (COPY, PRODUCT)) if row else ""
    yield Bar("a short turn, dense attention", "64 over 128k", REPORTED, found)


def products(rows):
    """Products of few rows are held against a copy, of many against a large product."""
    for count, shape in ((1, "1 row"), (8, "8 rows"), (128, "128 rows"), (2048, "2048 rows")):
        share, of = COPY if count <= 8 else PRODUCT
        row = one(rows, "products, a layer", share, rows=count)
        yield Bar("products of a layer, 8B", shape, REPORTED, f"{100 * row[share]:.0f}% {of}" if row else "")


def whole_steps(rows):
    for shape, count, tokens in (("1 x 16k", 1, 16384), ("8 x 16k", 8, 16384), ("1 x 128k", 1, 131072)):
        its = [one(rows, "a whole step of decoding" + by, batch=count, tokens=tokens) for by in ("", ", queued anew", ", dense")]
        found = "{:.0f} tokens/s, {:.0f} where steps are queued anew, {:.0f} dense".format(*(r["tokens_per_second"] for r in its)) if all(its) else ""
        yield Bar("a whole step of decoding, 8B", shape, REPORTED, found)


def break_even(rows):
    """The first length from which all longer ones are faster too."""
    found = sorted((r for r in rows if r["work"] == PROMPT), key=lambda r: r["tokens"])
    goal, slower = "<= 4k", [r["tokens"] for r in found if not r["times_faster"] > 1]
    faster = [r for r in found if not slower or r["tokens"] > slower[-1]]
    if not found:
        yield Bar("break-even of sparse with selection", "the smallest length", goal)
    else:
        said = faster[0]["shape"] if faster else f"more than {found[-1]['shape']}"
        yield Bar("break-even of sparse with selection", "the smallest length", goal, said, bool(faster) and faster[0]["tokens"] <= 4096)


LONG, LONG_TURN = {"tokens": 131072}, {"tokens": 131072 + 2048}
BARS = [
    dense_prefill,
    line_sparse,
    at("selection", PROMPT, LONG, with_area("whole prompt of 128k"), "<= 5% of dense", lambda r: f"{100 * r['selection_of_dense']:.1f}%", near_a_tenth(lambda r: r["selection_of_dense"] <= 0.05)),
    at("line-sparse with selection", PROMPT, LONG, with_area("whole prompt of 128k"), ">= 6x dense (aim: 8x)", lambda r: f"{r['times_faster']:.1f}x", near_a_tenth(lambda r: r["times_faster"] >= 6)),
    break_even,
    at("turn, attention with selection", TURN, LONG_TURN, with_area("2k over 128k"), ">= 5x dense", lambda r: f"{r['times_faster']:.1f}x", near_a_tenth(lambda r: r["times_faster"] >= 5)),
    at("turn, whole, products included", "a whole turn", LONG_TURN, with_area("2k over 128k"), REPORTED, lambda r: f"{r['times_faster']:.2f}x dense, {r['us'] / 1e3:.0f} ms"),
    short_turn,
    decode,
    share("sketch scores over rotating layers", "sketch scores", "share_of_copy", 131072, ">= 80% of copy bandwidth", lambda x: x >= 0.8),
    share("attention over the working set, with choosing, against the whole cache", "with recall / whole cache", "share", 131072, "<= 20%", lambda x: x <= 0.2),
    at("re-selection, a sixteenth of it each step", "re-selection, a sixteenth of it each step / whole cache", LONG, always("128k"), REPORTED,
       lambda r: f"{100 * r['share']:.1f}% of attention over the whole cache"),
    whole_steps,
    products,
]


def judged(rows):
    """A row with a number that is none (null) is not one that was measured."""
    rows = [row for row in rows if None not in row.values()]
    return [bar for bars in BARS for bar in bars(rows)]


def word(goal):
    """What became of a goal, as JSON has it."""
    if goal["reached"] is not None:
        return "reached" if goal["reached"] else "missed"
    return "measured" if goal["found"] else "not measured"
