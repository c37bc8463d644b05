"""Put the maps of an image's windows together, in bands of rows that no further window changes.

Shapes: B windows, C maps, h w a window or its map, H W the image.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.windows import WindowGrid


class Stitcher:
    """The weighted mean of the windows' maps over the whole image, at its own ``size`` (H, W).

    Windows come in order. Only one band of rows, as high as a window, is in memory. The mean is
    that of the maps as they are, so maps of logits give the mean of logits. If the windows were
    cut from a scaled copy, the rows are resized, bilinearly with half-pixel centres.
    """

    def __init__(self, grid: WindowGrid, size: tuple[int, int]) -> None:
        self._grid = grid
        self._band: Tensor | None = None
        self._top = 0
        self._resizer = None if grid.size == size else _RowResizer(grid.size[0], size)

    def add(self, maps_BChw: Tensor, first: int) -> Iterator[tuple[int, Tensor]]:
        """Add the maps of the windows from number ``first`` on; yield the rows that they finish.

        Each band is float32 ``(C, rows, W)``, with the number of its first row. Maps of another
        size than the windows are resized to it.
        """
        maps_BChw = maps_BChw.float()
        if maps_BChw.shape[-2:] != self._grid.window:
            maps_BChw = F.interpolate(maps_BChw, self._grid.window, mode="bilinear", align_corners=False)
        rows, columns = self._grid.rows, self._grid.columns
        for number, map_Chw in enumerate(maps_BChw, start=first):
            row, column = self._grid.place(number)
            self._add_window(map_Chw, row, column)
            if column + 1 == len(columns.starts):
                yield from self._emit(rows.finished[row] - rows.starts[row])

    def _add_window(self, map_Chw: Tensor, row: int, column: int) -> None:
        rows, columns = self._grid.rows, self._grid.columns
        if self._band is None:
            width = max(columns.length, columns.window)
            self._band = map_Chw.new_zeros(len(map_Chw), rows.window, width)
        weight_hw = rows.weights[row][:, None] * columns.weights[column]
        left = columns.starts[column]
        self._band[:, :, left : left + columns.window] += map_Chw * weight_hw.to(map_Chw.device)

    def _emit(self, count: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the first ``count`` rows of the band, and move the others up."""
        assert self._band is not None
        done = self._band[:, :count, : self._grid.columns.length]
        self._band = torch.cat([self._band[:, count:], torch.zeros_like(self._band[:, :count])], dim=1)
        band = done if self._resizer is None else self._resizer.add(done)
        if band.shape[1]:
            yield self._top, band
        self._top += band.shape[1]


class _RowResizer:
    """Bilinear resizing of an image that comes in bands of rows, as of the whole image at once."""

    def __init__(self, length: int, size: tuple[int, int]) -> None:
        self._size = size
        # The source row of every row, as in torch's interpolation without aligned corners.
        place_H = ((torch.arange(size[0]) + 0.5) * (length / size[0]) - 0.5).clamp(min=0)
        self._low_H = place_H.floor().long().clamp(max=length - 1)
        self._high_H = (self._low_H + 1).clamp(max=length - 1)
        self._share_H = place_H - self._low_H
        self._kept: Tensor | None = None
        self._first = self._done = 0

    def add(self, band_Chw: Tensor) -> Tensor:
        """Add the next rows of the source; return the rows of the result that they complete."""
        count, height = band_Chw.shape[:2]
        wide = F.interpolate(band_Chw[None], (height, self._size[1]), mode="bilinear", align_corners=False)[0]
        kept = wide if self._kept is None else torch.cat([self._kept, wide], dim=1)
        stop = int(torch.searchsorted(self._high_H, self._first + kept.shape[1]))
        rows = slice(self._done, stop)
        low, high = (kept[:, index[rows] - self._first] for index in (self._low_H, self._high_H))
        share = self._share_H[rows].to(kept.device)[:, None]
        self._done = stop
        if stop < self._size[0]:
            first = min(int(self._low_H[stop]), self._first + kept.shape[1])
            kept, self._first = kept[:, first - self._first :], first
        self._kept = kept
        return low + (high - low) * share
