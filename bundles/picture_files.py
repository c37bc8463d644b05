"""Draw and write the pictures of a prediction: mask, overlay, heat map, selected positions."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..data.data_config import DataConfig
from ..data.images import read_image
from ..data.pixels import shown
from ..escaping import printable
from ..trials.figures import heat_figure, mask_figure
from ..trials.mask_pictures import mask_picture
from ..trials.overlay import draw_kept
from ..trials.prediction import Prediction
from ..trials.unknown import UNKNOWN
from .output_files import as_jpeg, as_png, write_output

# The column of a table that names a picture, and the picture's folder.
PICTURES = {"mask": "masks", "overlay": "overlays", "heatmap": "heatmaps", "kept": "kept"}
EXTENSIONS = (".png", ".jpg")
# Pictures for people are JPEG: a photo of 12 megapixels as PNG takes longer than its prediction.
_PHOTOS = ("overlay", "heatmap")


class PictureFiles:
    """The pictures of images in folders below ``out``; ``columns`` says which, of ``PICTURES``.

    Overlays show the images as ``read_image`` reads them in the ``view``. Heat maps show the class
    ``heat_label``, or that of each image's label.
    """

    def __init__(self, out: Path, columns: Sequence[str], view: DataConfig, heat_label: str | None = None) -> None:
        self._out, self._columns, self._view, self._heat_label = out, columns, view, heat_label

    def write(self, prediction: Prediction, path: Path, given: str, name: str) -> dict[str, str | None]:
        """Write the pictures of an image; return their paths below ``out`` by column.

        A picture that the prediction does not have is None. ``given`` is the answer and ``name``
        that of the files, without extension. Raises UserError if a file cannot be written.
        """
        files: dict[str, str | None] = dict.fromkeys(self._columns)
        for column, picture in self._drawn(prediction, path, given).items():
            extension, encode = (".jpg", as_jpeg) if column in _PHOTOS else (".png", as_png)
            place = f"{PICTURES[column]}/{name}{extension}"
            write_output(self._out / place, encode(picture))
            files[column] = place
        return files

    def _drawn(self, prediction: Prediction, path: Path, given: str) -> dict[str, Image.Image]:
        """Return the pictures of an image by column.

        All are drawn before one is written: the image may be a picture that this run replaces.
        """
        share = f"{100 * prediction.probability:.1f} %"
        nearest = f"{given} (nearest: {prediction.label} {share})" if given == UNKNOWN else f"{given} {share}"
        caption, classes, mask = f"{printable(path.name)}: {nearest}", prediction.mask_classes, prediction.mask
        pictures = {} if mask is None else {"mask": mask_picture(mask, classes)}
        overlay = mask is not None and "overlay" in self._columns
        if not overlay and prediction.heat is None and prediction.kept is None:
            return pictures
        photo = shown(read_image(path, self._view) if prediction.pixels is None else prediction.pixels)
        if mask is not None and overlay:
            pictures["overlay"] = mask_figure(photo, mask, classes, caption=caption)
        if prediction.heat is not None:
            label = prediction.label if self._heat_label is None else self._heat_label
            pictures["heatmap"] = heat_figure(photo, prediction.heat, caption=caption, label=label)
        if prediction.kept is not None:
            pictures["kept"] = draw_kept(photo, prediction.kept)
        return pictures
