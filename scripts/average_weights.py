"""The mean of the weights of networks that were trained from one another (2203.05482).

python scripts/average_weights.py A.safetensors B.safetensors ... OUTPUT.safetensors
"""

import argparse

import torch

from samkit.weights import load_network, save_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("output")
    args = parser.parse_args()
    networks = [load_network(file) for file in args.files]
    last = networks[-1]
    states = [network.state_dict() for network in networks]
    if any(network.config != last.config for network in networks):
        parser.error("expected networks of the same sizes")
    mean = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[-1]}
    last.load_state_dict(mean)
    save_network(last, args.output)


if __name__ == "__main__":
    main()
