# SPDX-License-Identifier: Apache-2.0
"""Turns the evaluation's figures into docs/evaluation.md."""

from counting import POSITIONS


def number(value, digits=3):
    return "" if value is None else f"{value:.{digits}f}"


def facts(tally):
    return f"{tally['right']}/{tally['asked']} ({tally['percent']:.1f}%)" if tally else ""


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def by_position(modes, names):
    rows = [[names[m], *(facts(s["position"].get(p)) for p in POSITIONS), facts(s["all"]), number(s["area"]), number(s["kv_kept"])]
            for m, s in modes.items()]
    return markdown_table(["mode", *POSITIONS, "all", "prefill area", "KV kept"], rows)


def by_length(modes, names):
    rows = []
    for mode, s in modes.items():
        for length, measured in s["length"].items():
            cells = [facts(s["cell"].get(f"{length} {p}")) for p in POSITIONS]
            rows.append([names[mode], length, *cells, number(measured["area"]), number(measured["kv_kept"])])
    return markdown_table(["mode", "tokens", *POSITIONS, "prefill area", "KV kept"], rows)


def checks(found):
    rows = [[c["what"], c["found"], c["wanted"], "yes" if c["ok"] else "**no**"] for c in found]
    return markdown_table(["check", "found", "wanted", "holds"], rows)


def render(result):
    """The whole page."""
    names = {mode: f"`{' '.join(flags)}`" for mode, flags in result["flags"].items()}
    lines = [
        "# How close LoopServe stays to dense on the demo model's dialogues",
        "",
        f"Written by `scripts/evaluate_demo` from {result['dialogues']} dialogues ({result['turns']} turns) of assets/demo-model/dialogues.jsonl, backend "
        f"`{result['backend']}`. Each mode answers freely: its own answers stay in its history. A fact counts as right if the answer contains it followed "
        "by its full stop. Area and KV kept are plain means over turns.",
        "",
        "## Facts right, by where the question stands",
        "",
        *by_position(result["modes"], names),
        "",
        "## Checks",
        "",
        *checks(result["checks"]),
        "",
        "## By length",
        "",
        *by_length(result["modes"], names),
    ]
    return "\n".join(lines) + "\n"
