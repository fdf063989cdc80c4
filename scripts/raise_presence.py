"""Make a network of SAM 2 surer, or less sure, that objects are in a frame.

    python scripts/raise_presence.py NETWORK.safetensors LOGIT OUTPUT.safetensors

LOGIT is added to the object score (2408.00714, appendix D): more is found, also where it is not.
Weights stay in half precision, and what the file says of its training stays too.
"""

import argparse

from safetensors import safe_open
from safetensors.torch import save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("logit", type=float)
    parser.add_argument("output")
    args = parser.parse_args()
    with safe_open(args.network, "pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    biases = [name for name in tensors if "pred_obj_score_head" in name and name.endswith("bias")]
    tensors[max(biases)] += args.logit
    save_file(tensors, args.output, metadata=about)


if __name__ == "__main__":
    main()
