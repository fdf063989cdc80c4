"""Networks in files of others, and whether they came back."""

import torch

from samkit.weights import save_network


def same_weights(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def write_hugging_face(network, folder):
    from samkit.weights import convert

    save_network(network, folder.parent / "source.safetensors")
    convert(folder.parent / "source.safetensors", folder, layout="hugging-face")
