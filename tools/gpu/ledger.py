# SPDX-License-Identifier: Apache-2.0
"""What has been done, so that a check which was cut off goes on where it was."""

import hashlib
import json
import os
import threading


def fingerprint(root, parts):
    """A number for all files below these parts of the tree."""
    digest = hashlib.sha256()
    for part in parts:
        path = os.path.join(root, part)
        found = [path] if os.path.isfile(path) else sorted(os.path.join(where, name) for where, _, names in os.walk(path) for name in names if not name.endswith(".pyc"))
        for name in found:
            digest.update(os.path.relpath(name, root).encode() + b"\0")
            with open(name, "rb") as file:
                digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


class Ledger:
    """Records by step, kept in a file; those of other sources or of another device are forgotten."""

    def __init__(self, folder, key, fresh):
        self.folder, self.path = folder, os.path.join(folder, "state.json")
        os.makedirs(os.path.join(folder, "logs"), exist_ok=True)
        self.key, self.steps, self.lock = key, {}, threading.Lock()
        if not fresh and os.path.exists(self.path):
            with open(self.path) as file:
                kept = json.load(file)
            if kept["key"] == key:
                self.steps = kept["steps"]

    def log(self, step):
        return os.path.join(self.folder, "logs", step + ".log")

    def passed(self, step):
        return self.steps.get(step, {}).get("status") == "passed"

    def known(self):
        with self.lock:
            return dict(self.steps)

    def forget(self, *steps):
        for step in steps:
            self.steps.pop(step, None)

    def put(self, step, record):
        with self.lock:
            self.steps[step] = record
            with open(self.path + ".new", "w") as file:
                json.dump({"key": self.key, "steps": self.steps}, file, indent=1)
            os.replace(self.path + ".new", self.path)
