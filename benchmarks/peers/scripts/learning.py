"""What is trained by a reader: it writes down each sample that it was given, and keeps the reader's state now and then.

Shared by all readers, and counted with none.
"""

import json
import os
import time
from pathlib import Path

EVERY = 200


class Learner:
    def __init__(self, folder):
        self._folder = Path(folder)
        self._log = os.open(self._folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self._count = self._kept = self._bytes = 0
        self._first_s = 0.0

    def state(self):
        path = self._folder / "state.json"
        return json.loads(path.read_text()) if path.exists() else None

    def learn(self, key, document, *renditions):
        if not self._count:
            self._first_s = time.perf_counter() - self._began
        self._count += 1
        self._bytes += sum(map(len, renditions)) + len(document)
        os.write(self._log, f"{key}\n".encode())

    def keep(self, state):
        if self._count - self._kept >= EVERY:
            self._kept = self._count
            new_file = self._folder / "state.json.new"
            new_file.write_text(json.dumps(state()))
            os.replace(new_file, self._folder / "state.json")
            os.write(self._log, b"kept\n")

    def done(self):
        took = {"s": time.perf_counter() - self._began, "cpu_s": time.process_time() - self._cpu}
        print(json.dumps({**took, "samples": self._count, "first_s": self._first_s, "bytes": self._bytes}))
