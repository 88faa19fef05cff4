# SPDX-License-Identifier: Apache-2.0
"""Counts what an evaluation of the demo model's dialogues found: facts right, area, rows kept, and where two runs part.

A dialogue is a line of dialogues.jsonl: {"tokens", "position", "turns": [{"user", "facts", "dense", "margin"}]}.
A run is the list of turns that `loopserve-chat --json` printed for it: {"text", "ids", "area", "kv_kept", "facts", "right", ...}.
"""

import math

POSITIONS = ("begin", "middle", "end")
EXCUSED_MARGIN = 1e-3  # a best and second logit closer than this may change places between two float32 arithmetics
POINTS_ALLOWED = 3.0
SHARE_AS_STORED = {"reference": 1.0, "cpu": 0.98}  # of dense turns; the stored ones were made in float32, as the reference's are
# On a few dialogues a share is less than one turn or fact: so many may differ in any case.
TURNS_ALLOWED = 2
FACTS_ALLOWED = 3


def facts_right(facts, text):
    """A fact is right where the answer contains it followed by its full stop."""
    return sum(fact + "." in text for fact in facts)


def length_class(tokens, classes=(1000, 2000, 4000)):
    """The length that a dialogue was made for: the class nearest to its token count, as a ratio."""
    return min(classes, key=lambda c: max(tokens / c, c / tokens))


def cell_of(dialogue):
    return length_class(dialogue["tokens"]), dialogue["position"]


def check_run(dialogue, run):
    """Raises ValueError where a run is not one of this dialogue, or its own count of facts differs from ours."""
    if len(run) != len(dialogue["turns"]):
        raise ValueError(f"{len(run)} turns came back, the dialogue has {len(dialogue['turns'])}")
    for number, (asked, got) in enumerate(zip(dialogue["turns"], run)):
        ours = facts_right(asked["facts"], got["text"])
        if got["right"] != ours:
            raise ValueError(f"turn {number}: the program counts {got['right']} facts right, the answer holds {ours}")


class Tally:
    """Facts right of facts asked."""

    def __init__(self):
        self.right = self.asked = 0

    def add(self, right, asked):
        self.right += right
        self.asked += asked

    def percent(self):
        return 100.0 * self.right / self.asked if self.asked else float("nan")

    def as_json(self):
        return {"right": self.right, "asked": self.asked, "percent": round(self.percent(), 2)}


def tally_by(dialogues, texts, key):
    """{key(dialogue): Tally}; `texts` holds the answers of each dialogue, turn by turn."""
    found = {}
    for dialogue, answers in zip(dialogues, texts):
        tally = found.setdefault(key(dialogue), Tally())
        for turn, answer in zip(dialogue["turns"], answers):
            tally.add(facts_right(turn["facts"], answer), len(turn["facts"]))
    return found


def mean(values):
    """Plain mean of the numbers among `values`; None where there are none (a turn without an answer token has no kv_kept)."""
    numbers = [v for v in values if v is not None]
    return sum(numbers) / len(numbers) if numbers else None


def summary(dialogues, runs):
    """One mode's figures: facts by position and by cell, means over turns of area, covered mass and rows kept, whole and by length."""
    texts = [[turn["text"] for turn in run] for run in runs]
    turns = [turn for run in runs for turn in run]
    everything = Tally()
    for tally in tally_by(dialogues, texts, cell_of).values():
        everything.add(tally.right, tally.asked)
    by_length = {}
    for dialogue, run in zip(dialogues, runs):
        by_length.setdefault(length_class(dialogue["tokens"]), []).extend(run)

    def measures(of):
        return {name: mean(turn.get(name) for turn in of) for name in ("area", "covered", "kv_kept")}

    return {
        "all": everything.as_json(),
        "position": {p: t.as_json() for p, t in tally_by(dialogues, texts, lambda d: d["position"]).items()},
        "cell": {f"{length} {p}": t.as_json() for (length, p), t in tally_by(dialogues, texts, cell_of).items()},
        **measures(turns),
        "length": {str(length): measures(of) for length, of in sorted(by_length.items())},
    }


def against_stored(dialogues, runs):
    """Dense answers against the stored ones, turn by turn up to each conversation's first difference. A differing turn whose stored margin is small is
    excused: it ends the comparison but does not count."""
    equal = different = excused = 0
    places = []
    for index, (dialogue, run) in enumerate(zip(dialogues, runs)):
        for number, (asked, got) in enumerate(zip(dialogue["turns"], run)):
            if got["text"] == asked["dense"]:
                equal += 1
                continue
            if asked["margin"] < EXCUSED_MARGIN:
                excused += 1
            else:
                different += 1
                places.append({"conversation": index, "turn": number, "margin": asked["margin"]})
            break
    compared = equal + different
    share = equal / compared if compared else float("nan")
    return {"equal": equal, "different": different, "excused": excused, "share": round(share, 5), "places": places}


def turns_allowed(backend, compared):
    """How many of the compared dense turns may differ from the stored ones."""
    share = SHARE_AS_STORED[backend]
    return 0 if share == 1 else max(TURNS_ALLOWED, math.floor((1 - share) * compared + 1e-9))


def same_ids(runs, others):
    """Turns whose ids differ between two modes, as [conversation, turn]."""
    return [[i, t] for i, (a, b) in enumerate(zip(runs, others)) for t in range(max(len(a), len(b)))
            if t >= len(a) or t >= len(b) or a[t]["ids"] != b[t]["ids"]]


def points_lost(dense, other):
    """{position: percent of dense minus percent of the other}; below zero where the other is better."""
    return {p: round(dense["position"][p]["percent"] - other["position"][p]["percent"], 2) for p in POSITIONS if p in dense["position"]}


def points_allowed(asked):
    """How many points may be lost at a position where `asked` facts were asked."""
    return max(POINTS_ALLOWED, 100.0 * FACTS_ALLOWED / asked) if asked else POINTS_ALLOWED
