"""The map of bench.c by multiprocessing.Pool.map: prints the median seconds of calls 3 to 7 on one pool.

python3 python_map.py WORKERS ITEMS
"""

import multiprocessing
import statistics
import sys
import time


def square_plus_one(x):
    return x * x + 1.0


def main():
    workers, items = int(sys.argv[1]), int(sys.argv[2])
    arguments = [float(i) for i in range(items)]
    seconds = []
    with multiprocessing.Pool(workers) as pool:
        for _ in range(7):
            start = time.perf_counter()
            results = pool.map(square_plus_one, arguments)
            seconds.append(time.perf_counter() - start)
            for i in (0, items // 3, items - 1):
                assert results[i] == float(i) * i + 1.0
            del results
    print(statistics.median(seconds[2:]))


if __name__ == "__main__":
    main()
