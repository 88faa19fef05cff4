# SPDX-License-Identifier: Apache-2.0
"""What has been done, so that a check which was cut off goes on where it was."""

import hashlib
import json
import os
import shutil
import threading

LOG_BYTES = 200 << 10  # of a log's end, where logs are taken elsewhere


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

    def __init__(self, folder, key, fresh, earlier=None):
        """Goes on from `earlier`, another ledger's file, where the folder has none."""
        self.folder, self.path = folder, os.path.join(folder, "state.json")
        os.makedirs(os.path.join(folder, "logs"), exist_ok=True)
        if earlier and not os.path.exists(self.path):
            shutil.copyfile(earlier, self.path)
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

    def troubled(self, step):
        """Whether it has failed, or began and did not end: it may hang, so what has not been done yet comes before it."""
        record = self.steps.get(step, {})
        return record.get("status", "passed") != "passed" and record["seconds"] > 0

    def known(self):
        with self.lock:
            return dict(self.steps)

    def forget(self, *steps):
        for step in steps:
            self.steps.pop(step, None)

    def save_to(self, folder):
        """The records, and the ends of the logs of what did not pass, in one file."""
        if os.path.exists(self.path):
            shutil.copyfile(self.path, os.path.join(folder, "state.json"))
        with open(os.path.join(folder, "logs.txt"), "wb") as joined:
            for step, record in sorted(self.known().items()):
                if record["status"] == "passed":
                    continue
                try:
                    with open(self.log(step), "rb") as log:
                        log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_BYTES))
                        joined.write(f"==== {step}: {record['status']}\n".encode() + log.read() + b"\n")
                except FileNotFoundError:  # it has not begun, or begins anew at this moment
                    pass

    def put(self, step, record):
        with self.lock:
            self.steps[step] = record
            with open(self.path + ".new", "w") as file:
                json.dump({"key": self.key, "steps": self.steps}, file, indent=1)
            os.replace(self.path + ".new", self.path)
