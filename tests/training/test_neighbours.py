"""The neighbours from which pools are drawn: by the vectors with which a model proposes."""

import numpy as np
import pytest

from hf_mel.encoding import encode_all
from hf_mel.models import PGMELGenerator
from hf_mel.training import PGMELTrainer, PGMELTrainingArguments
from tests.tiny_peers import peer_processor, tiny_peer
from tests.training.common import tiny_data, tiny_linker, tiny_processor


@pytest.mark.parametrize("name", ["pgmel", "mimic", "m3el"])
def test_the_nearest_by_the_proposing_vectors_without_the_gold_entity(name, tmp_path):
    data = tiny_data()
    model, processor = (tiny_linker(), tiny_processor()) if name == "pgmel" else (tiny_peer(name), peer_processor())
    args = PGMELTrainingArguments(
        output_dir=str(tmp_path),
        negatives="topk",
        pool_dense_neighbours=5,
        discriminator_warmup_epochs=0,
        use_cpu=True,
    )
    trainer = PGMELTrainer(
        model, args, train_dataset=data.mentions["train"], knowledge_base=data.entities, processing_class=processor
    )
    trainer.refresh()
    mentions, _ = encode_all(model, trainer.inputs_of(trainer.train_mentions))
    entities, _ = encode_all(model, trainer.inputs_of(None))
    products = (mentions[model.proposal_name] @ entities[model.proposal_name].T).numpy()
    for row, gold in enumerate(trainer.train_mentions.gold_rows):
        nearest = np.argsort(-products[row], kind="stable")[:6]
        assert (
            trainer.sampler._builders[trainer.sampler.strategy].lists["dense"][row].tolist()
            == np.where(nearest == gold, -1, nearest).tolist()
        )
    assert (model.proposal_name == "dense") is (name != "pgmel")


@pytest.mark.parametrize("frozen", [False, True])
def test_the_generator_is_not_handed_the_states(frozen, tmp_path, monkeypatch):
    handed, forward = [], PGMELGenerator.forward

    def spy(self, mentions, entities, *rest):
        handed.append(set(entities))
        return forward(self, mentions, entities, *rest)

    monkeypatch.setattr(PGMELGenerator, "forward", spy)
    data, model = tiny_data(), tiny_peer("mimic", freeze_text=frozen, freeze_vision=frozen)
    args = PGMELTrainingArguments(
        output_dir=str(tmp_path),
        negatives="pg",
        generator_init="random",
        generator_type="both",
        discriminator_warmup_epochs=0,
        max_steps=1,
    )
    trainer = PGMELTrainer(
        model,
        args,
        train_dataset=data.mentions["train"],
        knowledge_base=data.entities,
        processing_class=peer_processor(),
    )
    trainer.train()
    assert handed and all(each == {"text_features", "image_features", "has_image"} for each in handed)
    assert (trainer.sampler.features is None) is frozen
