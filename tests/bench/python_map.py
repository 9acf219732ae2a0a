"""The map of bench.c by multiprocessing.Pool.map: prints the median seconds of the third call on a fresh pool.

python3 python_map.py WORKERS ITEMS RUNS
"""

import multiprocessing
import statistics
import sys
import time


def square_plus_one(x):
    return x * x + 1.0


def map_seconds(pool, arguments):
    start = time.perf_counter()
    results = pool.map(square_plus_one, arguments)
    seconds = time.perf_counter() - start
    for i in (0, len(arguments) // 3, len(arguments) - 1):
        assert results[i] == float(i) * i + 1.0
    return seconds


def main():
    workers, items, runs = (int(argument) for argument in sys.argv[1:4])
    arguments = [float(i) for i in range(items)]
    seconds = []
    for _ in range(runs):
        with multiprocessing.Pool(workers) as pool:
            seconds.append([map_seconds(pool, arguments) for _ in range(3)][2])
    print(statistics.median(seconds))


if __name__ == "__main__":
    main()
