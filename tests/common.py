"""Checks that every model of the package has to pass (transformers ships no such mixin), and tiny parts for tests."""

import copy
import string

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast


def build_tokenizer(**special_tokens) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer that can spell any word of ASCII letters and digits; 93 tokens."""
    characters = string.ascii_lowercase + string.digits
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters, *(f"##{character}" for character in characters)]
    tokens += [*".,|'-:;()", "the", "jordan", "michael", "basketball", "player", "city", "river", "in"]
    vocab = {token: number for number, token in enumerate(tokens)}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, **{**special, **special_tokens})


class ConfigTesterMixin:
    """Subclasses set `config_class` and provide a `tiny_config` fixture."""

    config_class = None

    def test_save_load_round_trip(self, tiny_config, tmp_path):
        tiny_config.save_pretrained(tmp_path)
        assert self.config_class.from_pretrained(tmp_path).to_dict() == tiny_config.to_dict()
        assert type(AutoConfig.from_pretrained(tmp_path)) is self.config_class

    def test_default_config_builds(self):
        self.config_class()

    def test_every_field_is_documented(self):
        own = set(self.config_class.__annotations__)
        missing = {name for name in own if f" {name} (`" not in self.config_class.__doc__}
        assert own and not missing, f"undocumented: {sorted(missing)}"

    def test_documented_defaults_are_the_defaults(self):
        config = self.config_class()
        for name in self.config_class.__annotations__:
            line = self.config_class.__doc__.split(f" {name} (`")[1].split("\n")[0]
            value = getattr(config, name)
            if "defaults to" in line:
                shown = f'"{value}"' if isinstance(value, str) else str(value)
                assert f"defaults to `{shown}`" in line, name


class ModelTesterMixin:
    """
    Subclasses set `model_class` and provide `tiny_model` and `inputs` fixtures; the keys of the inputs start with their
    side, `labels` apart, and the outputs have `loss` and `scores`.
    """

    model_class = None

    def outputs(self, model, inputs) -> tuple:
        with torch.no_grad():
            return model.eval()(**inputs).to_tuple()

    def assert_same(self, model, other, inputs):
        """Bit for bit: weights and outputs."""
        state, other_state = model.state_dict(), other.state_dict()
        assert state.keys() == other_state.keys()
        assert all(torch.equal(value, other_state[name]) for name, value in state.items())
        for a, b in zip(self.outputs(model, inputs), self.outputs(other, inputs), strict=True):
            assert torch.equal(a, b)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_save_load_is_bit_exact(self, tiny_model, inputs, tmp_path, dtype):
        tiny_model.to(dtype).save_pretrained(tmp_path)
        for auto in (self.model_class, AutoModel):
            reloaded, info = auto.from_pretrained(tmp_path, dtype=dtype, output_loading_info=True)
            assert type(reloaded) is self.model_class
            assert not info["missing_keys"] and not info["unexpected_keys"]
            assert {parameter.dtype for parameter in reloaded.parameters()} == {dtype}
            self.assert_same(tiny_model, reloaded, inputs)

    def test_save_load_in_shards(self, tiny_model, inputs, tmp_path):
        tiny_model.save_pretrained(tmp_path, max_shard_size="8KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 1
        self.assert_same(tiny_model, self.model_class.from_pretrained(tmp_path), inputs)

    def test_meta_device(self, tiny_model, inputs, tmp_path):
        with torch.device("meta"):
            empty = self.model_class(copy.deepcopy(tiny_model.config))
        tensors = [*empty.parameters(), *empty.buffers()]
        assert tensors and all(tensor.is_meta for tensor in tensors)
        assert {n: p.shape for n, p in empty.named_parameters()} == {
            n: p.shape for n, p in tiny_model.named_parameters()
        }

    def test_second_save_writes_the_same_config(self, tiny_model, tmp_path):
        first, second = tmp_path / "first", tmp_path / "second"
        tiny_model.save_pretrained(first)
        self.model_class.from_pretrained(first).save_pretrained(second)
        written = (second / "config.json").read_text()
        assert written == (first / "config.json").read_text()
        assert str(tmp_path) not in written and "_name_or_path" not in written

    def test_return_dict_false(self, tiny_model, inputs):
        outputs = tiny_model.eval()(**inputs, return_dict=False)
        assert isinstance(outputs, tuple) and torch.equal(outputs[0], tiny_model(**inputs).loss)

    def test_rows_do_not_see_each_other(self, tiny_model, inputs):
        """A mention scores the same alone as in a batch, and so does an entity."""
        tiny_model.eval()
        inputs = {name: value for name, value in inputs.items() if name != "labels"}
        with torch.no_grad():
            scores = tiny_model(**inputs).scores
            for side in ("mention", "entity"):
                rows = len(inputs[f"{side}_has_image"])
                assert rows > 1
                for i in range(rows):
                    alone = {n: v[i : i + 1] if n.startswith(side) else v for n, v in inputs.items()}
                    expected = scores[i : i + 1] if side == "mention" else scores[:, i : i + 1]
                    torch.testing.assert_close(tiny_model(**alone).scores, expected, rtol=1e-4, atol=1e-5)

    def test_forward_does_not_change_its_inputs(self, tiny_model, inputs):
        before = copy.deepcopy(inputs)
        tiny_model(**inputs)
        for key, value in inputs.items():
            assert torch.equal(value, before[key]), key

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_gradients_are_finite_and_reach_every_head(self, tiny_model, inputs, dtype):
        tiny_model.to(dtype).train()(**inputs).loss.backward()
        for name, parameter in tiny_model.named_parameters():
            if not name.startswith(("text_model", "vision_model")):
                assert parameter.grad is not None and parameter.grad.isfinite().all(), name
                assert parameter.grad.abs().sum() > 0, name
