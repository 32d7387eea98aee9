"""The plain image network that `MusicCNN` is measured against.

ResNet-18 of He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", table 1,
but for one input channel in place of three.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut.append(nn.Conv2d(c_in, c_out, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


class ResNet18(nn.Module):
    """Spectrograms ``(B, F, T)`` to logits ``(B, n_classes)``."""

    def __init__(self, n_classes: int, *, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
        )
        sizes = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        self.stages = nn.Sequential(
            *(
                block
                for c_in, c_out, stride in sizes
                for block in (BasicBlock(c_in, c_out, stride), BasicBlock(c_out, c_out, 1))
            )
        )
        self.classifier = nn.Linear(512, n_classes)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = spectrogram.unsqueeze(1)  # (B, F, T) -> (B, 1, F, T)
        x = self.stages(self.stem(x))  # (B, 1, F, T) -> (B, 512, F/32, T/32)
        return self.classifier(x.mean(dim=(2, 3)))  # -> (B, 512) -> (B, n_classes)
