"""Every vision model that `AutoModel` can build is a tower, or is refused with the reason."""

import importlib.util
import re

import pytest
import torch
from transformers import MODEL_MAPPING, TimmWrapperConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hf_mel import MIMICConfig, MIMICModel, PGMELConfig, PGMELModel
from hf_mel.models.tower_sizes import TowerSizes, picture_shape, tower_sizes


TEXT = {"model_type": "bag_of_tokens", "vocab_size": 20, "hidden_size": 8}
TOKENS = torch.tensor([[5, 6], [7, 8]])

SEVERAL = "it is made of several models"
DETECTS = "it detects objects"
NO_STATES = "neither `last_hidden_state` nor `feature_maps`"
REFUSED = {
    **dict.fromkeys(
        ("blip-2", "clip", "cohere2_vision", "edgetam", "edgetam_video", "instructblip", "instructblipvideo", "kosmos-2",
         "llama4", "metaclip_2", "mllama", "pe_video_encoder", "sam", "sam2", "sam2_video", "sam3", "sam3_lite_text",
         "sam3_tracker", "sam3_tracker_video", "sam_hq", "siglip", "siglip2", "videoprism"),
        SEVERAL,
    ),
    **dict.fromkeys(
        ("conditional_detr", "d_fine", "dab-detr", "deformable_detr", "deimv2", "detr", "grounding-dino", "lw_detr",
         "mask2former", "mm-grounding-dino", "omdet-turbo", "pp_doclayout_v3", "pp_doclayout_v4", "rf_detr", "rt_detr",
         "rt_detr_v2", "table-transformer"),
        DETECTS,
    ),
    **dict.fromkeys(("timesformer", "videomae", "vivit"), "it reads videos"),
    **dict.fromkeys(("videoprism_vision_model", "vjepa2"), "it reads `pixel_values_videos`"),
    **dict.fromkeys(
        ("cosmos3_edge_vision", "glm_image_vision", "hunyuan_vl_vision", "inkling2_vision", "muse_glimmer_vision",
         "muse_spark_vision", "sam3_video", "seggpt", "video_llama_3_vision"),
        "it also needs `",
    ),
    **dict.fromkeys(("efficientloftr", "lightglue"), "Input must be a 5D tensor"),  # they compare two pictures
    **dict.fromkeys(("maskformer", "mgp-str"), NO_STATES),
    **dict.fromkeys(("minicpm_ocr_vision", "minicpmv4_7_vision"), "AttributeError"),  # sizes of patches beside the pixels
    # Networks for scanned pages, whose default configuration does not build or does not run.
    **dict.fromkeys(("pp_ocrv6_medium_det", "pp_ocrv6_small_det", "uvdoc"), "it raises"),
    "depth_pro": "is too small",
    "edgetam_vision_model": "it raises",  # its default configuration does not run
    "imagegpt": "it reads `input_ids`",
    "oneformer": "it reads `['pixel_values', 'task_inputs']`",
    "perceiver": "it reads `inputs`",
    "pixtral": "its states have the shape",  # one row for all pictures of a batch
    "sam3_lite_text_text_model": "it raises TypeError",
    "timm_backbone": "backbone is not set",
    "vit_mae": "it hides patches at random",
}  # fmt: skip
NEEDS = {
    "dinat": "natten",
    **dict.fromkeys(("edgetam_vision_model", "gemma3n_vision", "timm_backbone", "timm_wrapper"), "timm"),
}
SMALLER = {
    "efficientnet": {"image_size": 64, "depth_coefficient": 0.1},
    "internvl_vision": {"image_size": (56, 56)},
    "mlcd": {"image_size": 56},
    "mlcd_vision_model": {"image_size": 56},
    "qianfan_ocr_vision": {"image_size": (56, 56)},
    "sam2_hiera_det_model": {"image_size": [128, 128]},
    "sam3_vision_model": {"image_size": 112},
    "sam3_vit_model": {"image_size": 112, "pretrain_image_size": 112},
    "sam_hq_vision_model": {"image_size": 128},
    "sam_vision_model": {"image_size": 128},
    "swin2sr": {"image_size": 16},
    "textnet": {"image_size": (64, 64)},
    "yolos": {"image_size": (64, 96)},
}


def reads_pictures(model_type: str) -> bool:
    try:
        found = MODEL_MAPPING[CONFIG_MAPPING[model_type]]
        model_class = found[0] if isinstance(found, (list, tuple)) else found
        inputs = str(model_class.main_input_name)
    except (ImportError, ValueError):  # a library that is not there; a class that transformers lists and does not have
        return False
    listed = (modeling_auto.MODEL_FOR_IMAGE_MAPPING_NAMES, modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
    return "pixel_values" in inputs or any(model_type in names for names in listed)


KINDS = [model_type for model_type in modeling_auto.MODEL_MAPPING_NAMES if reads_pictures(model_type)]


def small_config(model_type: str):
    config = CONFIG_MAPPING[model_type]()
    for each in (config, *(getattr(config, name) for name in config.sub_configs)):
        if each is None:
            continue
        if isinstance(getattr(each, "depths", None), (list, tuple)):
            each.depths = type(each.depths)([1] * len(each.depths))
        elif isinstance(getattr(each, "num_hidden_layers", None), int):
            each.num_hidden_layers = 1
    for name, value in SMALLER.get(model_type, {}).items():
        setattr(config, name, value)
    return config


def skip_without(model_type: str) -> None:
    library = NEEDS.get(model_type)
    if library is not None and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def assert_is_tower(config) -> None:
    """One tower for a model that reads its pooled feature, and for one that reads its states."""
    sizes, shape = tower_sizes(config, "vision"), picture_shape(config) or (3, 224, 224)
    fields = {"text_config": TEXT, "vision_config": config}
    reader = MIMICModel(MIMICConfig(**fields, matching_size=8, num_patches=sizes.num_states)).eval()
    model = PGMELModel(
        PGMELConfig(**fields, text_views="context", projection_size=8), vision_model=reader.vision_model
    )
    inputs = {"pixel_values": torch.rand(2, *shape), "has_image": torch.tensor([True, False])}
    with torch.no_grad():
        features = reader.extract(TOKENS, **inputs)
        embeds = model.eval().get_mention_features(TOKENS, **inputs)
    assert features.image_features.shape == (2, sizes.pooled) and embeds.shape == (2, 8)
    assert features.patch_features.shape == (2, sizes.num_states, sizes.state)
    assert embeds.isfinite().all() and features.patch_features[0].isfinite().all()
    assert features.patch_features[0].any() and not features.patch_features[1].any()


@pytest.mark.parametrize("model_type", [kind for kind in KINDS if kind not in REFUSED])
def test_is_a_tower(model_type):
    skip_without(model_type)
    assert_is_tower(small_config(model_type))


@pytest.mark.parametrize("model_type", [kind for kind in KINDS if kind in REFUSED])
def test_is_refused(model_type):
    skip_without(model_type)
    message = rf"{re.escape(repr(model_type))} cannot be the vision tower: .*{re.escape(REFUSED[model_type])}"
    with pytest.raises(ValueError, match=message):
        PGMELModel(PGMELConfig(text_config=TEXT, vision_config=CONFIG_MAPPING[model_type]()))


def test_there_are_many():
    assert len(set(KINDS) - set(REFUSED)) > 50


def test_timm_names_the_size_of_its_pictures():
    """`pretrained_cfg` is what the repositories of timm on the Hub have in their `config.json`."""
    pytest.importorskip("timm")
    config = TimmWrapperConfig(
        architecture="mobilenetv3_small_050", label_names=["a"], pretrained_cfg={"input_size": [3, 64, 64]}
    )
    # Its pooled feature is 1024 wide, whatever timm calls `num_features` (288).
    assert tower_sizes(config, "vision") == TowerSizes(pooled=1024, state=288, num_states=4)
    assert_is_tower(config)
