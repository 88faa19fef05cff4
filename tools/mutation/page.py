# SPDX-License-Identifier: Apache-2.0
"""docs/mutation.md, from what was found."""

import re

from mutations import KINDS


EARLIER = " †"


def how(found):
    """Who caught it, for a cell of the table."""
    if found is None:
        return "**not caught**"
    if found["outcome"] == "not run":
        return "not run"
    said = {"failed": "", "crashed": ", a crash", "endless": ", which does not end", "refused": ""}[found["outcome"]]
    if found["outcome"] == "failed" and found["said"] != "a check":
        said = f": {short(found['said'])}"
    case = f" “{found['case']}”" if found["case"] else ""
    return f"`{found['test']}`{case}{said}".replace("|", "\\|")


def short(said):
    """The emulator's sentence without the kernel's type and thread."""
    said = re.sub(r"^kernel .*?thread \d+: ", "", said.strip('"'))
    return said if len(said) <= 110 else said[:107] + "..."


def render(results):
    """The page; results: (mutation, found or None, whether it was found before the last change) in the tables' order."""
    ran = [(m, found) for m, found, _ in results if found is None or found["outcome"] != "not run"]
    caught, before = sum(found is not None for _, found in ran), sum(earlier for _, _, earlier in results)
    left = f" {before} (†) were run before the last change to their header, their test or the emulator." if before else ""
    left += f" {len(results) - len(ran)} more were not run." if len(ran) < len(results) else ""
    lines = ["# Bugs seeded into the kernels, and which tests see them", "",
             "Each row is one change to one header, made in a copy; the tests of [tests/simt](../tests/simt) are then built over it and run on the host. The changes are the tables in",
             "[tools/mutation](../tools/mutation); `scripts/mutate_kernels` makes this page and fails where fewer than 95% are caught or one survives without a reason.", "",
             f"**{caught} of {len(ran)} are caught ({100 * caught / max(len(ran), 1):.1f}%).**{left}", "",
             "| kind | seeded | caught |", "|---|---|---|"]
    for kind in KINDS:
        of_kind = [found for mutation, found in ran if mutation.kind == kind]
        if of_kind:
            lines.append(f"| {kind} | {len(of_kind)} | {sum(f is not None for f in of_kind)} |")
    survivors = [mutation for mutation, found, _ in results if found is None]
    if survivors:
        lines += ["", "## What no test sees, and why"]
        lines += [f"* `{m.file}`, {m.name}: {m.survives or 'no reason is known'}" for m in survivors]
    last = None
    for mutation, found, earlier in results:
        if mutation.file != last:
            lines += ["", f"## {mutation.file}", "| bug | kind | caught by |", "|---|---|---|"]
            last = mutation.file
        lines.append(f"| {mutation.name} | {mutation.kind} | {how(found)}{EARLIER if earlier else ''} |")
    return "\n".join(lines) + "\n"
