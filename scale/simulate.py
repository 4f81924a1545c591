"""The cost of a million sequences at 7B on 1, 8 and 64 GPUs: FLOPs and bytes counted, then shards, stragglers and failures simulated.

    python3 scale/simulate.py

Prints the tables of docs/scale.md. Nothing here is measured. The assumptions are the constants below. The simulation follows spread.py: shards are
taken in order, a shard loads the model, a shard of a node that dies begins again, and once no shard is left to begin, one that takes more
than twice the median runs a second time. Each row is the mean of 20 runs with seeds 0 to 19. Requires Python only.
"""

import dataclasses
import heapq
import random
import statistics

# Dream-7B (config.json of Dream-org/Dream-v0-Base-7B), bfloat16.
HIDDEN, LAYERS, HEADS, KV_HEADS, FFN, VOCABULARY = 3584, 28, 28, 4, 18944, 152064
BYTES = 2
PROMPT, GENERATED, BLOCK, K = 128, 256, 32, 4
SEQUENCES = 1_000_000
# NVIDIA H100 SXM: dense bfloat16 and memory of its data sheet. Half of the FLOPs is a usual share for large products.
FLOPS, BANDWIDTH, SHARE = 989e12, 3.35e12, 0.5
BATCH = 64
# A process finds its model on a local disk, or copies it from storage.
LOAD_SECONDS = 40
# Shards differ by their lengths, nodes by their state.
SPREAD_OF_SHARDS, SPREAD_OF_NODES = 0.05, 0.05
SLOW_NODES, SLOWNESS = 0.02, 3.0
HOURS_BETWEEN_FAILURES = 2000  # Of one GPU.

LENGTH = PROMPT + GENERATED
HEAD_SIZE = HIDDEN // HEADS
LAYER = HIDDEN * (HIDDEN + 2 * KV_HEADS * HEAD_SIZE) + HIDDEN * HIDDEN + 3 * HIDDEN * FFN
WEIGHTS = LAYERS * LAYER
OUTPUT = HIDDEN * VOCABULARY


def rows(count, layers=LAYERS):
    """FLOPs of `count` rows of one sequence: products, and attention over the whole sequence."""
    return layers * count * (2 * LAYER + 4 * LENGTH * HIDDEN)


def output(count):
    return 2 * OUTPUT * count


@dataclasses.dataclass
class Strategy:
    name: str
    full: int  # Full forwards of a sequence.
    partial: int  # Forwards of an open block, over a cache.
    passes: int  # Sampler passes, one layer on a window of three rows and those just revealed.
    candidates: int  # Rows of the output layer in a forward.

    def flops(self):
        forwards = self.full * (rows(LENGTH) + output(self.candidates)) + self.partial * (rows(BLOCK) + output(self.candidates))
        return forwards + self.passes * (rows(4, layers=1) + output(3))

    def seconds(self):
        """Seconds of a GPU for one sequence of a full batch: FLOPs, or the bytes of the weights if that takes longer."""
        total = 0.0
        weights = BYTES * WEIGHTS / BANDWIDTH / BATCH
        head = BYTES * OUTPUT / BANDWIDTH / BATCH
        for count, layers, rows_out, weight in (
            (self.full, rows(LENGTH), self.candidates, weights),
            (self.partial, rows(BLOCK), self.candidates, weights),
            (self.passes, rows(4, layers=1), 3, weights / LAYERS),
        ):
            total += count * max((layers + output(rows_out)) / (FLOPS * SHARE), weight + head)
        return total


BLOCKS = GENERATED // BLOCK
STRATEGIES = [
    Strategy("exact, no cache", GENERATED, 0, 0, BLOCK),
    Strategy("exact, `dual`", BLOCKS, GENERATED - BLOCKS, 0, BLOCK),
    Strategy("joint K = 4, no cache", GENERATED // K, 0, GENERATED // K * (K - 1), BLOCK),
    Strategy("joint K = 4, `dual`", BLOCKS, GENERATED // K - BLOCKS, GENERATED // K * (K - 1), BLOCK),
]


def simulate(seconds, gpus, shards, seed, second_runs=True):
    """Wall seconds of a run whose sequences take `seconds` of one GPU together."""
    draw = random.Random(seed)
    nodes = [draw.lognormvariate(0, SPREAD_OF_NODES) * (SLOWNESS if draw.random() < SLOW_NODES else 1) for _ in range(gpus)]
    waiting = [seconds / shards * draw.lognormvariate(0, SPREAD_OF_SHARDS) for _ in range(shards)][::-1]
    free = [(0.0, node) for node in range(gpus)]
    heapq.heapify(free)
    running, took, end = [], [], 0.0
    while waiting or running:
        while waiting and free:
            now, node = heapq.heappop(free)
            work = waiting.pop()
            time = LOAD_SECONDS + work * nodes[node]
            fails = draw.expovariate(1 / (3600 * HOURS_BETWEEN_FAILURES))
            if fails < time:
                # The node is replaced, and the shard begins again.
                waiting.append(work)
                heapq.heappush(free, (now + fails + LOAD_SECONDS, node))
                continue
            heapq.heappush(running, (now + time, now, node, work))
        if not running:
            continue
        done, began, node, work = heapq.heappop(running)
        if not waiting and second_runs and took:
            limit = began + 2 * statistics.median(took)
            # The fastest node that is free by then runs it again.
            others = [(max(limit, at), other) for at, other in free]
            if done > limit and others:
                done = min(done, min(at + LOAD_SECONDS + work * nodes[other] for at, other in others))
        took.append(done - began)
        end = max(end, done)
        heapq.heappush(free, (done, node))
    return end


def shown(seconds):
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def main():
    print(f"Weights {BYTES * (WEIGHTS + 2 * OUTPUT) / 1e9:.1f} GB, cache {2 * LAYERS * KV_HEADS * HEAD_SIZE * BYTES * LENGTH / 1e6:.0f} MB a sequence.\n")
    print("| strategy | TFLOP a sequence | GPU seconds a sequence | 1 GPU | 8 GPUs | 64 GPUs |\n|---|---:|---:|---:|---:|---:|")
    for strategy in STRATEGIES:
        seconds = strategy.seconds()
        times = [shown(SEQUENCES * seconds / gpus) for gpus in (1, 8, 64)]
        print(f"| {strategy.name} | {strategy.flops() / 1e12:.0f} | {seconds:.3f} | {' | '.join(times)} |")
    last = STRATEGIES[-1].seconds() * SEQUENCES
    print(f"\n`{STRATEGIES[-1].name}`, simulated:\n")
    print("| GPUs | shards | minutes of a shard | ideal | with loading, failures and stragglers | efficiency | without second runs |\n|---:|---:|---:|---:|---:|---:|---:|")
    for gpus, many in ((8, (8, 32, 128, 1024)), (64, (64, 256, 1024, 8192)), (512, (512, 2048, 8192))):
        for shards in many:
            runs = [statistics.mean(simulate(last, gpus, shards, seed, again) for seed in range(20)) for again in (True, False)]
            print(f"| {gpus} | {shards:,} | {last / shards / 60:.1f} | {shown(last / gpus)} | {shown(runs[0])} | {last / gpus / runs[0]:.2f} | {shown(runs[1])} |")


if __name__ == "__main__":
    main()
