"""Image processors of pretrained vision towers."""

from pathlib import Path

from transformers import AutoConfig, AutoImageProcessor

from .hub_arguments import hub_arguments


SINGLE_STREAM = "vilt"  # one tower for text and picture


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
