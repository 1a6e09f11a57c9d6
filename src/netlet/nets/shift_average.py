"""Nets whose logits are averaged over shifts of the image, all of them computed in one pass."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from netlet.nets.blocks import Net
from netlet.nets.copying import copy_net

_SHIFTS = 3  # in each direction: -1, 0 and 1 pixel


class ShiftAverage(Net):
    """A net whose logits are the mean of another net's for the nine shifts of an image by a pixel.

    Each shift sees other windows of a pooling, and so makes other errors. All nine are computed in
    one pass, as in dense evaluation of nets with poolings (Sermanet and others, "OverFeat", 2014):
    strides become 1, what follows is dilated instead, and the nine values that belong together are
    averaged before the head, which is linear. It has the parameters of the other net, under the
    same names. What is shifted in are copies of the pixels at the edge.

    Args:
        strided: The other net: layers without padding, the last of them named ``head``. Its layers
            are taken over, so that it must not be used again.
    """

    def __init__(self, strided: Net) -> None:
        super().__init__()
        self._windows = {name: _read_window(layer) for name, layer in _find_windows(strided)}
        dilation = 1
        for _, layer in _find_windows(strided):
            stride = _read_window(layer)[0]
            _set_window(layer, 1, dilation if _read_kernel(layer) > 1 else 1)
            dilation *= stride
        self.add_module("border", nn.ReplicationPad2d(_SHIFTS // 2))
        for name, module in strided.named_children():
            if name == "head":
                self.add_module("shifts", nn.AvgPool2d(_SHIFTS, dilation))
            self.add_module(name, module)

    def copy_strided(self) -> Net:
        """Return a copy of the other net, which computes the logits of the image as it is."""
        whole, strided = copy_net(self), Net()
        for name, layer in _find_windows(whole):
            if name in self._windows:
                _set_window(layer, *self._windows[name])
        for name, module in whole.named_children():
            if name not in ("border", "shifts"):
                strided.add_module(name, module)
        return strided


_Window = nn.Conv2d | nn.MaxPool2d


def _find_windows(net: nn.Module) -> Iterator[tuple[str, _Window]]:
    """Yield the layers that slide a window over the map, in the order in which they run."""
    for name, layer in net.named_modules():
        if isinstance(layer, _Window) and not name.startswith("head."):
            yield name, layer


def _read_kernel(layer: _Window) -> int:
    size = layer.kernel_size
    return size if isinstance(size, int) else max(size)


def _read_window(layer: _Window) -> tuple[int, int]:
    """Return stride and dilation, which are the same in both directions."""
    stride, dilation = (
        value if isinstance(value, int) else value[0] for value in (layer.stride, layer.dilation)
    )
    return stride, dilation


def _set_window(layer: _Window, stride: int, dilation: int) -> None:
    if isinstance(layer, nn.Conv2d):
        layer.stride, layer.dilation = (stride, stride), (dilation, dilation)
    else:
        layer.stride, layer.dilation = stride, dilation
