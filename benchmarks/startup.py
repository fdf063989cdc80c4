"""Time of `import samkit` and of `samkit --help`, each in a fresh process.

Prints medians in seconds, and that of an interpreter that does nothing, which both include.
Run: python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

RUNS = 15
COMMANDS = {
    "python": ["-c", "pass"],
    "import samkit": ["-c", "import samkit"],
    "samkit --help": ["-m", "samkit", "--help"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    for name, arguments in COMMANDS.items():
        seconds(arguments)  # the first run compiles and fills the disk cache
        median = statistics.median(seconds(arguments) for _ in range(RUNS))
        print(f"{name:<14} {median:.3f} s")


if __name__ == "__main__":
    main()
