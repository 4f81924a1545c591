"""Several `conjoint serve` behind one address, on a Ray cluster (Ray Serve).

    python3 scale/replicas.py --replicas 4 --port 8000 -- --model models/tiny --name tiny

Each replica is a process of `conjoint serve` on a node of the cluster, with the arguments after `--`. A request goes to the replica with the
fewer requests of two that Ray draws. Streams pass through as they come. A replica whose process ends, or whose /health is not 200, is
replaced. A request whose replica dies in the middle fails; its client may repeat it, and with a seed gets the same text.

Requires ray[serve] and httpx (requirements.txt). Ctrl-C stops the replicas.
"""

import argparse
import os
import subprocess
import sys
import time

import httpx
import ray
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from ray import serve

app = FastAPI()
# Headers that belong to one connection, not to the message.
HOPS = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


@serve.deployment(health_check_period_s=2, health_check_timeout_s=10, graceful_shutdown_timeout_s=40)
@serve.ingress(app)
class Replica:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        address = self.process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"{' '.join(command)} ended with code {self.process.wait()}")
        self.client = httpx.AsyncClient(base_url=address, timeout=None, limits=httpx.Limits(max_connections=None))

    async def check_health(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"conjoint serve ended with code {self.process.returncode}")
        (await self.client.get("/health", timeout=5)).raise_for_status()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def forward(self, path: str, request: Request):
        headers = [(name, value) for name, value in request.headers.items() if name not in HOPS]
        sent = self.client.build_request(request.method, f"/{path}", params=request.query_params, headers=headers, content=await request.body())
        answer = await self.client.send(sent, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in HOPS}

        async def body():
            try:
                async for part in answer.aiter_raw():
                    yield part
            finally:
                # If the client goes away, the server sees it too, and frees the place.
                await answer.aclose()

        return StreamingResponse(body(), status_code=answer.status_code, headers=kept)

    def __del__(self):
        if getattr(self, "process", None):
            self.process.terminate()
            self.process.wait(timeout=60)


def start(command, replicas, cpus, host, port):
    """Starts the replicas, and returns once they answer."""
    serve.start(http_options={"host": host, "port": port})
    made = Replica.options(num_replicas=replicas, ray_actor_options={"num_cpus": cpus}, max_ongoing_requests=1024)
    serve.run(made.bind(command), name="conjoint", route_prefix="/")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=2, help="number of servers")
    parser.add_argument("--cpus", type=float, default=2, help="cores of each")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    parser.add_argument("--conjoint", default="conjoint", help="the command, on every node")
    parser.add_argument("--address", help="address of the Ray cluster")
    own, rest = sys.argv[1:], []
    if "--" in own:
        place = own.index("--")
        own, rest = own[:place], own[place + 1:]
    chosen = parser.parse_args(own)
    ray.init(address=chosen.address or os.environ.get("RAY_ADDRESS"), logging_level="error")
    start([chosen.conjoint, "serve", *rest, "--port", "0"], chosen.replicas, chosen.cpus, chosen.host, chosen.port)
    print(f"http://{chosen.host}:{chosen.port}: {chosen.replicas} replicas", flush=True)
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        serve.shutdown()


if __name__ == "__main__":
    main()
