"""Put the maps of an image's windows together, in bands of rows that no further window changes.

Shapes: B windows, C maps, h w a window or its map, H W the image.
"""

from collections.abc import Iterator

import numpy as np

from ..data.windows import WindowGrid
from .resample import Floats, Places, mix_rows, resize_bilinear, resize_columns


class Stitcher:
    """The weighted mean of the windows' maps over the whole image, at its own ``size`` (H, W).

    Windows come in order. Only one band of rows, as high as a window, is in memory. The mean is
    that of the maps as they are, so maps of logits give the mean of logits. If the windows were
    cut from a scaled copy, the rows are resized, bilinearly with half-pixel centres.
    """

    def __init__(self, grid: WindowGrid, size: tuple[int, int]) -> None:
        self._grid = grid
        self._band: Floats | None = None
        self._top = 0
        self._resizer = None if grid.size == size else _RowResizer(grid.size[0], size)

    def add(self, maps_BChw: Floats, first: int) -> Iterator[tuple[int, Floats]]:
        """Add the maps of the windows from number ``first`` on; yield the rows that they finish.

        Each band is float32 ``(C, rows, W)``, with the number of its first row. Maps of another
        size than the windows are resized to it.
        """
        maps_BChw = resize_bilinear(maps_BChw, self._grid.window)
        rows, columns = self._grid.rows, self._grid.columns
        for number, map_Chw in enumerate(maps_BChw, start=first):
            row, column = self._grid.place(number)
            self._add_window(map_Chw, row, column)
            if column + 1 == len(columns.starts):
                yield from self._emit(rows.finished[row] - rows.starts[row])

    def _add_window(self, map_Chw: Floats, row: int, column: int) -> None:
        rows, columns = self._grid.rows, self._grid.columns
        if self._band is None:
            width = max(columns.length, columns.window)
            self._band = np.zeros((len(map_Chw), rows.window, width), np.float32)
        weight_hw = rows.weights[row][:, None] * columns.weights[column]
        left = columns.starts[column]
        self._band[:, :, left : left + columns.window] += map_Chw * weight_hw

    def _emit(self, count: int) -> Iterator[tuple[int, Floats]]:
        """Yield the first ``count`` rows of the band, and move the others up."""
        assert self._band is not None
        done = self._band[:, :count, : self._grid.columns.length]
        self._band = np.concatenate([self._band[:, count:], np.zeros_like(self._band[:, :count])], axis=1)
        band = done if self._resizer is None else self._resizer.add(done)
        if band.shape[1]:
            yield self._top, band
        self._top += band.shape[1]


class _RowResizer:
    """Bilinear resizing of an image that comes in bands of rows, as of the whole image at once."""

    def __init__(self, length: int, size: tuple[int, int]) -> None:
        self._size = size
        self._places = Places.of(length, size[0])
        self._kept: Floats | None = None
        self._first = self._done = 0

    def add(self, band_Chw: Floats) -> Floats:
        """Add the next rows of the source; return the rows of the result that they complete."""
        wide = resize_columns(band_Chw, Places.of(band_Chw.shape[2], self._size[1]))
        kept = wide if self._kept is None else np.concatenate([self._kept, wide], axis=1)
        stop = int(np.searchsorted(self._places.high, self._first + kept.shape[1]))
        done = slice(self._done, stop)
        low, high, share = self._places.low[done], self._places.high[done], self._places.share[done]
        mixed = mix_rows(kept, Places(low - self._first, high - self._first, share))
        self._done = stop
        if stop < self._size[0]:
            first = min(int(self._places.low[stop]), self._first + kept.shape[1])
            kept, self._first = kept[:, first - self._first :], first
        self._kept = kept
        return mixed
