"""Image processors of pretrained vision towers."""

from pathlib import Path

from PIL import ExifTags, Image
from transformers import AutoConfig, AutoImageProcessor

from .hub_arguments import hub_arguments


SINGLE_STREAM = "vilt"  # one tower for text and picture


_OPEN = "pass what `hf_mel.data.open_image` returns for its file"


def as_rgb(image: Image.Image, position: int) -> Image.Image | None:
    """
    Converts an open picture to RGB; `None` where it shows one colour, which counts as no picture everywhere.

    A picture whose pixels alone do not say what it shows is refused, so that it does not differ from the same picture in an
    index: one with transparency, turned by its EXIF orientation, or of more than 8 bits. `hf_mel.data.open_image` converts
    these.

    Args:
        image (`PIL.Image.Image`): The picture.
        position (`int`): Its position among the images, for messages.

    Raises:
        `ValueError`: No PIL image, one that is refused, or a file that cannot be decoded.

    Example:

    ```python
    >>> from PIL import Image
    >>> from hf_mel.models.image_processors import as_rgb

    >>> as_rgb(Image.linear_gradient("L"), 0).mode
    'RGB'
    >>> as_rgb(Image.new("RGB", (8, 8), "red"), 0) is None
    True
    ```
    """
    if not isinstance(image, Image.Image):
        raise ValueError(f"The image at position {position} is a {type(image).__name__}, no PIL image.")
    try:
        image.load()
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except (OSError, SyntaxError, ValueError, AssertionError, AttributeError) as error:
        raise ValueError(
            f"The image at position {position} cannot be decoded ({error}): open its file again."
        ) from error
    if not image.width * image.height:
        raise ValueError(f"The image at position {position} has no pixel.")
    wrong = None
    if turned:
        wrong = "is turned by its EXIF orientation"
    elif _is_transparent(image):
        wrong = "is transparent"
    elif image.mode == "F" or image.mode.startswith("I"):
        wrong = f"has more than 8 bits a pixel (mode {image.mode})"
    if wrong is not None:
        raise ValueError(f"The image at position {position} {wrong}: {_OPEN}.")
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return None if all(low == high for low, high in rgb.getextrema()) else rgb


def _is_transparent(image: Image.Image) -> bool:
    if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in image.info:
        return False
    return image.convert("RGBA").getextrema()[3][0] < 255


def load_image_processor(source: str | Path, **kwargs):
    """
    The image processor of a checkpoint; in place of one that keeps the aspect of each picture, one that gives squares.

    Args:
        source (`str` or `Path`): Folder or Hub id.
        kwargs: For `from_pretrained`.
    """
    # The PIL backend, so that pixel values do not depend on whether torchvision is installed.
    images = AutoImageProcessor.from_pretrained(source, **({"backend": "pil"} | kwargs))
    if {"spatial_shapes", "pixel_mask"} & set(images.model_input_names):
        return _square_processor(images, AutoConfig.from_pretrained(source, **hub_arguments(kwargs)))
    return images


def _square_processor(image_processor, config):
    """In place of SigLIP2's NaFlex image processor, or of ViLT's, one that gives squares of the size of the tower."""
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    vision = getattr(config, "vision_config", config)
    naflex = config.model_type != SINGLE_STREAM
    side = int(vision.num_patches**0.5) * vision.patch_size if naflex else vision.image_size
    return SiglipImageProcessorPil(
        size={"height": side, "width": side},
        image_mean=image_processor.image_mean,
        image_std=image_processor.image_std,
        rescale_factor=image_processor.rescale_factor,
    )
