"""One figure of one of Python's pools, printed as a number: peers.py PEER WHAT WORKERS COUNT WINDOW CHUNK

PEER is ppe (concurrent.futures.ProcessPoolExecutor), mp (multiprocessing.Pool) or mpi (mpi4py.futures.MPIPoolExecutor).
"""

import collections
import statistics
import sys
import time

MIB = 1024 * 1024


def empty():
    return None


def echo(data):
    return data


def square_plus_one(x):
    return x * x + 1.0


class Executor:
    """What has the interface of concurrent.futures."""

    def __init__(self, kind, workers):
        self.pool = kind(max_workers=workers)

    def submit(self, function, *arguments):
        return self.pool.submit(function, *arguments).result

    def map(self, function, arguments, chunk):
        return list(self.pool.map(function, arguments, chunksize=chunk))

    def close(self):
        self.pool.shutdown()


class MultiprocessingPool:
    def __init__(self, workers):
        import multiprocessing

        self.pool = multiprocessing.Pool(workers)

    def submit(self, function, *arguments):
        return self.pool.apply_async(function, arguments).get

    def map(self, function, arguments, chunk):
        return self.pool.map(function, arguments, chunksize=chunk)

    def close(self):
        self.pool.close()
        self.pool.join()


def open_pool(peer, workers):
    if peer == "mp":
        return MultiprocessingPool(workers)
    if peer == "ppe":
        from concurrent.futures import ProcessPoolExecutor

        return Executor(ProcessPoolExecutor, workers)
    from mpi4py.futures import MPIPoolExecutor

    return Executor(MPIPoolExecutor, workers)


def warm_up(pool):
    for result in [pool.submit(empty) for _ in range(100)]:
        result()


def median_seconds(trip, count):
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        trip()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def round_trip(pool, count, *_):
    """us"""
    return 1e6 * median_seconds(lambda: pool.submit(empty)(), count)


def throughput(pool, count, window, _):
    """Tasks a second, the results taken in order, at most window in flight."""
    flying = collections.deque()
    start = time.perf_counter()
    for _ in range(count):
        if len(flying) == window:
            flying.popleft()()
        flying.append(pool.submit(empty))
    while flying:
        flying.popleft()()
    return count / (time.perf_counter() - start)


def map_rate(pool, count, _, chunk):
    """Items a second."""
    arguments = [float(i) for i in range(count)]
    rates = []
    for _ in range(2):
        start = time.perf_counter()
        results = pool.map(square_plus_one, arguments, chunk)
        rates.append(count / (time.perf_counter() - start))
        assert results[count - 1] == (count - 1.0) * (count - 1.0) + 1.0
    return max(rates)


def echo_rate(pool, count, *_):
    """GB/s, there and back."""
    data = bytes(range(256)) * (MIB // 256)
    assert pool.submit(echo, data)() == data
    return 2 * MIB / median_seconds(lambda: pool.submit(echo, data)(), count) / 1e9


def open_us(peer, workers, count):
    """us from opening to the first result; closing does not count."""
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        pool = open_pool(peer, workers)
        pool.submit(empty)()
        seconds.append(time.perf_counter() - start)
        pool.close()
    return 1e6 * statistics.median(seconds)


def main():
    peer, what = sys.argv[1:3]
    workers, count, window, chunk = (int(argument) for argument in sys.argv[3:7])
    if what == "open":
        print(open_us(peer, workers, count))
        return
    pool = open_pool(peer, workers)
    warm_up(pool)
    if what == "probe":
        print("ok")
    else:
        measures = {"round_trip": round_trip, "throughput": throughput, "map": map_rate, "echo": echo_rate}
        print(measures[what](pool, count, window, chunk))
    pool.close()


if __name__ == "__main__":
    main()
