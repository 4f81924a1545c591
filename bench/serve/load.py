"""Loads a server with many clients: latency, throughput, lost requests and memory.

    conjoint serve --model models/tiny &
    python3 bench/serve/load.py --model tiny --prompt '<story>the old' --max-tokens 34 --clients 1,32,64 --minutes 10

Each client sends one request after another. Requests have the seeds 0 to 63 in turn; every answer is compared with the first one of its
seed, so that a lost, doubled or mixed answer is found. A request that gets status 429 is repeated after `Retry-After`, and counted.
Every fourth request is a stream. The last number of clients runs for --minutes, the others for one minute.

Memory is read from /metrics every second. Its growth compares the mean of the last tenth of the run with that of the second tenth.

Requires Python only.
"""

import argparse
import http.client
import json
import statistics
import threading
import time
import urllib.parse

SEEDS = 64


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the server")
    parser.add_argument("--model", required=True, help="name of the model, such as tiny:balanced")
    parser.add_argument("--prompt", default="", help="prompt of all requests")
    parser.add_argument("--max-tokens", type=int, default=32, help="tokens of a request")
    parser.add_argument("--clients", default="1,32,64", help="numbers of clients, separated by commas")
    parser.add_argument("--minutes", type=float, default=10, help="time of the last number of clients")
    parser.add_argument("--key", help="key of the server")
    return parser.parse_args()


class Load:
    """One run with a number of clients."""

    def __init__(self, chosen, expected, lock):
        self.chosen, self.expected, self.lock = chosen, expected, lock
        url = urllib.parse.urlsplit(chosen.url)
        self.host, self.port = url.hostname, url.port
        self.latencies, self.errors, self.full, self.tokens, self.memory = [], [], 0, 0, []
        self.next = 0

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=120)

    def body(self, seed, is_stream):
        body = {"model": self.chosen.model, "prompt": self.chosen.prompt, "max_tokens": self.chosen.max_tokens, "seed": seed}
        if is_stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(body)

    def ask(self, connection, seed, is_stream):
        """The text and the number of tokens of an answer; None if the queue is full."""
        headers = {"Content-Type": "application/json"}
        if self.chosen.key:
            headers["Authorization"] = f"Bearer {self.chosen.key}"
        connection.request("POST", "/v1/completions", self.body(seed, is_stream), headers)
        answer = connection.getresponse()
        content = answer.read().decode()
        if answer.status == 429:
            time.sleep(float(answer.headers["Retry-After"]))
            return None
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {content}")
        if not is_stream:
            made = json.loads(content)
            return made["choices"][0]["text"], made["usage"]["completion_tokens"]
        data = [line[6:] for line in content.splitlines() if line.startswith("data: ")]
        if data[-1] != "[DONE]":
            raise RuntimeError(f"a stream ended with {data[-1]}")
        events = [json.loads(event) for event in data[:-1]]
        text = "".join(event["choices"][0]["text"] for event in events if event["choices"])
        return text, events[-1]["usage"]["completion_tokens"]

    def client(self, end):
        connection = self.connect()
        while time.monotonic() < end:
            with self.lock:
                number, self.next = self.next, self.next + 1
            seed = number % SEEDS
            began = time.monotonic()
            try:
                answer = self.ask(connection, seed, number % 4 == 3)
            except Exception as error:  # Every failure counts.
                with self.lock:
                    self.errors.append(repr(error))
                connection.close()
                continue
            with self.lock:
                if answer is None:
                    self.full += 1
                    continue
                text, tokens = answer
                self.latencies.append(time.monotonic() - began)
                self.tokens += tokens
                if self.expected.setdefault(seed, text) != text:
                    self.errors.append(f"seed {seed} gave {text!r}, before {self.expected[seed]!r}")

    def metric(self, connection, name):
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(name))

    def run(self, clients, seconds):
        began = time.monotonic()
        end = began + seconds
        threads = [threading.Thread(target=self.client, args=(end,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        watch = self.connect()
        while time.monotonic() < end:
            self.memory.append(self.metric(watch, "conjoint_resident_memory_bytes"))
            time.sleep(1)
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        ordered = sorted(self.latencies)
        share = lambda p: ordered[min(len(ordered) - 1, int(p * len(ordered)))]
        tenth = max(1, len(self.memory) // 10)
        first, last = statistics.mean(self.memory[tenth:2 * tenth] or self.memory), statistics.mean(self.memory[-tenth:])
        return {
            "clients": clients,
            "seconds": round(took, 1),
            "requests": len(ordered),
            "errors": len(self.errors),
            "429": self.full,
            "p50 ms": round(1000 * share(0.5), 1),
            "p99 ms": round(1000 * share(0.99), 1),
            "tokens/s": round(self.tokens / took, 1),
            "memory MB": round(last / 1e6, 1),
            "memory growth": round(last / first - 1, 4),
        }


def main():
    chosen = arguments()
    numbers = [int(number) for number in chosen.clients.split(",")]
    expected, lock, rows, errors = {}, threading.Lock(), [], []
    for place, clients in enumerate(numbers):
        load = Load(chosen, expected, lock)
        seconds = 60 * chosen.minutes if place == len(numbers) - 1 else 60
        rows.append(load.run(clients, min(seconds, 60 * chosen.minutes)))
        errors += load.errors
        if place == 0:
            print("| " + " | ".join(rows[0]) + " |\n|" + "---:|" * len(rows[0]))
        print("| " + " | ".join(str(value) for value in rows[-1].values()) + " |", flush=True)
    for row in rows[1:]:
        print(f"{row['clients']} clients / {rows[0]['clients']}: {row['tokens/s'] / rows[0]['tokens/s']:.2f} times the tokens/s")
    for error in errors[:10]:
        print("error:", error)
    raise SystemExit(bool(errors))


if __name__ == "__main__":
    main()
