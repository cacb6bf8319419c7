"""Lets torchvision's CUDA build be imported beside torch's CPU build, where no CPU build of it can be had.

Its compiled operators stay missing; models and transforms do not use them. Installed into the models environment with
a .pth file, so that worker processes have it too. Torch is imported only when torchvision is.
"""

import importlib.abc
import importlib.machinery
import sys


class _Before(importlib.abc.MetaPathFinder):
    """Declares the operators that torchvision's import wants to find, just before that import."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if torch.version.cuda is None:
                global _library
                _library = torch.library.Library("torchvision", "DEF")
                for name in ("nms", "qnms"):
                    _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


if "torchvision" not in sys.modules:
    sys.meta_path.insert(0, _Before())
