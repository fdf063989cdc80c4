"""samkit beside other programs, on the same weights, and beside what this machine can do at most.

    make bench                                        # a few minutes
    python benchmarks/bench.py --full                 # everything, an hour or two
    python benchmarks/bench.py pico click             # rows with these words
    python benchmarks/bench.py --threads 1 --clock cpu    # on a machine that others use too
    python benchmarks/bench.py encoder --alone --runs 10  # how far ten runs are apart

transformers is in the test extra; sam2, segment-anything, ultralytics, onnxruntime and openvino
(these two with onnx and onnxscript) take part where they are installed. Networks have random,
seeded weights, which changes no timing, so nothing is downloaded; `pico` has its own. All programs
and a product of two 2048 x 2048 matrices take turns in one process; figures are medians.

The limit is what the job's floating point operations (of the formulas in the papers) take at the
rate of that product. "of limit" is the part of the time that they would need, so a job that gets by
with less arithmetic may be above 100 %. The table is added to benchmarks/RESULTS.md.
"""

import argparse
import datetime
import gc
import tempfile
import traceback
from pathlib import Path

import torch
from bench_jobs import JOBS, SUBSET
from bench_measure import CLOCKS, Job, Result, Settings, machine, measure, shown, versions

_RESULTS = Path(__file__).parent / "RESULTS.md"
_HEAD = """# Results of `make bench`

Added by `benchmarks/bench.py`, whose first lines say what the columns are; the newest are last.
"""
_COLUMNS = ("", "samkit", "spread (of the product)", "limit", "of limit", "others", "best of them")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only rows with all of these words")
    parser.add_argument("--full", action="store_true", help="the long rows too")
    parser.add_argument("--runs", type=int, default=5, help="turns that count")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="whose seconds")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--alone", action="store_true", help="time samkit only, for its spread")
    parser.add_argument("--no-record", action="store_true", help="only print")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = Settings(
        dtype=getattr(torch, options.dtype),
        threads=options.threads,
        runs=options.runs,
        clock=CLOCKS[options.clock],
        alone=options.alone,
    )
    names = list(JOBS)[: None if options.full or options.words else SUBSET]
    names = [name for name in names if all(word in name.lower() for word in options.words)]
    if not names:
        parser.error(f"expected words of a row out of: {'; '.join(JOBS)}")
    lines = [
        "",
        f"## {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        "",
        f"{machine()}; {options.threads} thread{'s' * (options.threads > 1)}, {options.dtype}, "
        f"{options.clock} seconds, medians of {options.runs}. {versions()}.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    tell("\n".join(lines), not options.no_record)
    for name in names:
        tell(row(name, settings), not options.no_record)


def tell(text: str, record: bool) -> None:
    """Print, and add to the record: what was measured stays when a run is cut off."""
    print(text, flush=True)
    if record:
        if not _RESULTS.exists():
            _RESULTS.write_text(_HEAD)
        with _RESULTS.open("a") as file:
            file.write(text + "\n")


def row(name: str, settings: Settings) -> str:
    """A job, done by all: a line of the table. One that fails does not end the others."""
    try:
        # Not inference mode: some programs keep tensors between calls.
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            job = JOBS[name](Path(folder), settings)
            line = table_row(name, job, measure(job, settings))
    except Exception as error:
        traceback.print_exc()
        line = f"| {name} | failed: {type(error).__name__} |" + " |" * (len(_COLUMNS) - 2)
    gc.collect()
    return line


def table_row(name: str, job: Job, result: Result) -> str:
    own = result.values["samkit"]
    peers = {key: value for key, value in result.values.items() if key != "samkit"}
    limit = part = ""
    if result.limit is not None and result.rate is not None:
        limit = f"{shown(result.limit, job.unit)} at {result.rate / 1e9:.0f} GFLOP/s"
        part = f"{result.limit / own:.0%}"
    others = ", ".join(f"{key} {shown(value, job.unit)}" for key, value in peers.items())
    best = f"{min(peers.values()) / own:.2f}x" if peers else ""
    spread = f"{result.spread:.2f}"
    if result.product_spread is not None:
        spread += f" ({result.product_spread:.2f})"
    cells = (name, shown(own, job.unit), spread, limit, part, others, best)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
