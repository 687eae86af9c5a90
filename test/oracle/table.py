"""Rows of the table: each is announced before it is measured, so that one that never comes is seen as missing."""

import json
import traceback
from contextlib import contextmanager


class Table:
    """Writes lines of JSON that run.py reads back. `bound` is the largest error that passes."""

    def __init__(self, judge, path):
        self.judge, self.file = judge, open(path, "a")

    def plan(self, configuration, rows):
        """`rows`: what is measured -> its bound."""
        for what, bound in rows.items():
            self._write(configuration=configuration, what=what, bound=bound)

    def report(self, configuration, what, error, note=""):
        self._write(configuration=configuration, what=what, error=float(error), note=note)

    @contextmanager
    def measuring(self, configuration):
        """Goes on to the next configuration when this one raises; its rows stay missing."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self._write(configuration=configuration, failure=f"{type(error).__name__}: {error}".splitlines()[0][:300])

    def skip(self, configuration, what, reason):
        self._write(configuration=configuration, what=what, skipped=reason)

    def _write(self, **line):
        print(json.dumps({"judge": self.judge} | line), file=self.file, flush=True)
