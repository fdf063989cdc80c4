"""samkit's server in several processes, or on several machines, by Ray Serve.

    pip install 'samkit[serve]' 'ray[serve]'
    python examples/ray_serve.py --replicas 2

Each replica is the whole server with its own network and its own store. Requests with the same
header X-Session-Id reach the same replica; clients give what they ask about: the hash of an image.
"""

import argparse
import os
import sys
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.config import HTTPOptions, RequestRouterConfig
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

import samkit
from samkit.server import ServerSettings, create_app


def deployment(
    model: str, settings: ServerSettings, replicas: int, resources: dict[str, float]
) -> serve.Application:
    """The server as an application of Ray Serve.

    Args:
        model: that each replica loads.
        settings: of each replica; its limits are each one's own.
        replicas: how many.
        resources: that each of them takes, such as {"num_gpus": 1}.
    """

    def build() -> FastAPI:  # in the replica
        return create_app({model: samkit.load(model)}, settings)

    options: dict[str, Any] = {
        "num_replicas": replicas,
        "ray_actor_options": resources,
        # The server has a queue of its own, and says "busy" when it is full.
        "max_ongoing_requests": 2 * settings.waiting,
        "request_router_config": RequestRouterConfig(request_router_class=ConsistentHashRouter),
    }
    return serve.deployment(serve.ingress(build)(), name="samkit", **options).bind()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pico")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=1, help="of each replica")
    parser.add_argument("--gpus", type=float, default=0, help="of each replica")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    token = os.environ.get("SAMKIT_TOKEN")
    if options.host != "127.0.0.1" and not token:
        sys.exit("others can reach this address: give a token in SAMKIT_TOKEN")

    settings = ServerSettings(tokens=(token,) if token else ())
    resources = {"num_cpus": options.cpus, "num_gpus": options.gpus}
    # Ray's own processes want a share of the processors too; this only counts them.
    ray.init(num_cpus=int(options.cpus * options.replicas) + 2, include_dashboard=False)
    serve.start(http_options=HTTPOptions(host=options.host, port=options.port))
    serve.run(deployment(options.model, settings, options.replicas, resources), blocking=True)


if __name__ == "__main__":
    main()
