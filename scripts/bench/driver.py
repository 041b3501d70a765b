"""Times the operations of one library for `hei bench compare`, one request at a time.

Started as `driver.py PEER`, where PEER.py next to it defines `open_set(spec)`. Requests and answers are one JSON object
per line on standard input and output:

    {"open": {"degree": .., "data": [bits], "special": [bits], "log_scale": ..}}
        -> {"library": .., "chain": [bits], "note": .., "ops": [..], "max_error": .., "empty_ns": ..}
        -> {"absent": why}
    {"time": operation, "count": n} -> {"ns": [n numbers]}

A library is asked to prove itself before it is timed: `max_error` is the largest error of a product and of a rotation.
"""

import importlib
import json
import math
import os
import sys
import time


class Absent(Exception):
    """This library cannot do this set, and why."""


class Opened:
    """One parameter set, ready to be timed: `ops` maps names to functions without arguments."""

    def __init__(self, library, chain, ops, trivial, max_error, note="", keep=()):
        # `keep`: objects that the library uses without keeping them alive.
        self.keep = keep
        self.library, self.chain, self.ops = library, chain, ops
        self.trivial, self.max_error, self.note = trivial, max_error, note


def values(slots):
    """The numbers that every participant works on."""
    return [math.sin(i * 0.37) for i in range(slots)]


def largest_error(actual, expected):
    return max(abs(complex(x) - y) for x, y in zip(actual, expected, strict=True))


def product_and_rotation_error(product, rotated, slots):
    """Largest error of x*x and of x rotated left by one, for x = `values`."""
    x = values(slots)
    return max(largest_error(product, [v * v for v in x]), largest_error(rotated, x[1:] + x[:1]))


def measure(run, count):
    """Nanoseconds of each of `count` calls; what a call made is dropped outside the clock."""
    clock, spent = time.perf_counter_ns, []
    for _ in range(count):
        begun = clock()
        made = run()
        spent.append(clock() - begun)
        made = None  # noqa: F841
    return spent


def answer(request, state):
    if "open" in request:
        state.clear()
        opened = importlib.import_module(sys.argv[1]).open_set(request["open"])
        for run in opened.ops.values():
            run()
        state["opened"], state["ops"] = opened, opened.ops
        empty = sorted(measure(opened.trivial, 2001))[1000]
        return {
            "library": opened.library,
            "chain": opened.chain,
            "note": opened.note,
            "ops": sorted(opened.ops),
            "max_error": float(opened.max_error),
            "empty_ns": empty,
        }
    return {"ns": measure(state["ops"][request["time"]], int(request["count"]))}


def main():
    sys.modules["driver"] = sys.modules["__main__"]
    # Libraries print to standard output; the answers keep it to themselves.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    state = {}
    for line in sys.stdin:
        try:
            said = answer(json.loads(line), state)
        except Exception as error:  # whatever a library throws is a reason, not an end
            text = " ".join(str(error).split()) or type(error).__name__
            said = {"absent": text[:300]}
        out.write(json.dumps(said) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
