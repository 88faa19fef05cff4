# SPDX-License-Identifier: Apache-2.0
"""The page and the JSON of a check on a GPU, from what the steps recorded."""

import bars

STAGES = ("configure", "build", "tests", "bench", "sanitize")


def stage_of(step):
    return step.split(".")[0]


def result(facts, steps):
    """Everything that is known, as JSON has it."""
    rows, ceilings, left_out = [], {}, []
    for step, record in steps.items():
        measured = record.get("measured", {})
        rows += measured.get("rows", [])
        left_out += measured.get("left_out", [])
        ceilings.update({f"{name} ({step})": value for name, value in measured.get("ceilings", {}).items()})
    goals = [vars(bar) for bar in bars.judged(rows)]
    return {**facts, "passed": all(holds(step, record) for step, record in steps.items()) and {stage_of(s) for s in steps} == set(STAGES),
            "steps": steps, "ceilings": ceilings, "rows": rows, "left_out": left_out, "goals": goals}


def holds(step, record):
    """PyTorch may be absent; everything else must have passed."""
    return record["status"] == "passed" or (step == "bench.pytorch" and record["status"] == "not run")


def number(value):
    if value is None:
        return "no number"
    return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.3g}"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def summary(steps):
    """A row a stage: how many steps passed, how long they took."""
    rows = []
    for stage in STAGES:
        its = {s: r for s, r in steps.items() if stage_of(s) == stage}
        wrong = [f"{s}: {r['status']}: {r['said']}" for s, r in its.items() if not holds(s, r)]
        bad = {r["status"] for s, r in its.items() if not holds(s, r)}
        state = "not run" if not its else "passed" if not bad else "FAILED" if "failed" in bad else "cut off"
        rows.append((stage, state, f"{sum(holds(s, r) for s, r in its.items())} of {len(its)}", f"{sum(r['seconds'] for r in its.values()):.0f} s", wrong))
    return rows


def told(record):
    """What a sanitizer says of a program. Racecheck's warnings fail nothing, and are told."""
    if record["status"] != "passed":
        return record["said"] or record["status"]
    summary = record.get("summary", "")
    return summary if "RACECHECK" in summary and " 0 hazards" not in summary else "clean"


def sanitizer_rows(steps):
    found = {}
    for step, record in steps.items():
        if stage_of(step) == "sanitize":
            _, tool, name = step.split(".", 2)
            found.setdefault(name, {})[tool] = told(record)
    tools = ("memcheck", "racecheck", "synccheck", "initcheck")
    return [(name, *(its.get(tool, "left out") for tool in tools)) for name, its in sorted(found.items())], tools


def render(r):
    steps = r["steps"]
    of = " of " + ", ".join(([r["revision"]] if r["revision"] else []) + [f"sources {r['sources']}"])
    lines = [f"# {r['device']['name']}, {r['date']}", "", f"Made by `scripts/gpu_check`{of}.", ""]
    lines += ["**Everything that was checked passed.**" if r["passed"] else "**NOT everything passed.**", ""]
    lines += table(("stage", "result", "steps", "time"), [row[:4] for row in summary(steps)])
    wrong = [line for row in summary(steps) for line in row[4]]
    if wrong:
        lines += ["", "## What did not pass"] + [f"* {line}" for line in wrong]
    lines += ["", "## Where", *table(("what", "found"), [(k, v) for k, v in {**r["device"], **r["tools"]}.items() if v is not None])]
    absent = [k for k, v in r["tools"].items() if v is None]
    if absent:
        lines += ["", f"Not there: {', '.join(absent)}."]
    lines += ["", "## Goals", "A goal is no check: one that is missed fails nothing. Of attention: ours reads and writes float32 queries and results, PyTorch's bf16.", ""]
    bold = {"missed", "not measured"}
    verdicts = [(g["name"], g["shape"], g["goal"], g["found"], bars.word(g)) for g in r["goals"]]
    lines += table(("what", "shape", "goal", "found", ""), [(*row[:4], f"**{row[4]}**" if row[4] in bold else row[4]) for row in verdicts])
    if r["ceilings"]:
        lines += ["", "## Ceilings, measured in the same run", *table(("what", "a second"), [(k, number(v)) for k, v in r["ceilings"].items()])]
    if r["rows"]:
        lines += ["", "## Medians over device events", ""]
        lines += table(("work", "shape", "us", "middle half", "more"), [measured_row(row) for row in r["rows"]])
    if r["left_out"]:
        lines += ["", "Left out:"] + [f"* {sentence}" for sentence in r["left_out"]]
    tests = [(s.removeprefix("tests."), r.get("found", r["status"]), f"{r.get('test_seconds', 0):.1f}") for s, r in sorted(steps.items()) if stage_of(s) == "tests"]
    lines += ["", "## Tests", *table(("test", "result", "s"), tests)]
    rows, tools = sanitizer_rows(steps)
    lines += ["", "## compute-sanitizer", "Left out is what has nothing to show to a tool that others do not show.", "", *table(("test", *tools), rows)]
    return "\n".join(lines) + "\n"


def measured_row(row):
    plain = ("work", "shape", "us", "us_low", "us_high", "tokens", "batch")
    middle = f"{number(row['us_low'])} to {number(row['us_high'])}" if "us_low" in row else ""
    more = ", ".join(f"{k} {number(v)}" for k, v in row.items() if k not in plain)
    return row["work"], row["shape"], number(row["us"]) if "us" in row else "", middle, more
