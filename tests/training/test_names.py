"""Training by the whole score: names count in triplet, contrast and hard negatives, and their weights are learned."""

import numpy as np
import pytest
import torch

from hf_mel import losses
from hf_mel.encoding import encode_all
from hf_mel.models import PAIR_FEATURES
from hf_mel.models.encodings import flatten
from hf_mel.names import NameIndex

from .common import assert_equal, make_trainer, tiny_data, tiny_linker, weights


STRONG = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])


def named_linker(vision: bool = False):
    model = tiny_linker(vision, name_features=True)
    with torch.no_grad():
        model.pair_weights.weight.copy_(STRONG)
    return model


def all_features(trainer) -> torch.Tensor:
    """Features of all training mentions with all entities, `(num_mentions, num_entities, num_features)`."""
    kb, mentions = tiny_data().entities, trainer.train_mentions.dataset["mention"][:]
    return NameIndex(kb.names(), kb.aliases()).features(mentions).with_all(torch.arange(len(kb)))


def all_scores(trainer) -> torch.Tensor:
    """The whole scores of all training mentions with all entities, by the definition."""
    model, sides = trainer.model, (trainer.inputs_of(trainer.train_mentions), trainer.inputs_of(None))
    mentions, entities = (encode_all(model, side)[0] for side in sides)
    with torch.no_grad():
        return model.score(mentions, entities, all_features(trainer))


@pytest.mark.parametrize(
    "options", [{"negatives": "topk"}, {"negatives": "topk", "negatives_kwargs": {"scores": "fresh"}}]
)
def test_losses_are_those_of_the_whole_score(options, tmp_path):
    """Of a batch whose negatives are known, against the same losses of a matrix of all scores."""
    trainer = make_trainer(tmp_path, named_linker(), vision=False, modality_weight=0.0, uniform_share=0.0, **options)
    trainer.get_train_dataloader()
    trainer.refresh()
    collator, step, args = trainer.data_collator, trainer.step.eval(), trainer.args
    batch = collator(list(range(8)))
    batch |= collator.draw(batch, 0)
    outputs = step(batch, 0)
    scores, gold = all_scores(trainer)[:8], batch["gold_rows"]
    golds = scores.gather(1, gold[:, None])[:, 0]
    same = trainer.sampler.knowledge_base.identity[gold.numpy()]
    same = torch.from_numpy(same[:, None] == same)
    contrast = losses.in_batch_contrast(scores[:, gold], same, args.contrast_temperature).mean()
    torch.testing.assert_close(outputs["logs"]["contrast_loss"], contrast, rtol=1e-4, atol=1e-6)
    # The hardest of the pool by the whole score.
    pool = batch["candidates"]
    hardest = scores.gather(1, pool["rows"]).masked_fill(~pool["mask"], -torch.inf).topk(args.num_negatives).values
    triplet = losses.triplet_loss(golds, hardest, args.margin, hardest > -torch.inf).mean()
    torch.testing.assert_close(outputs["logs"]["triplet_loss"], triplet, rtol=1e-4, atol=1e-6)
    plain = all_scores(trainer)[:8] - all_features(trainer)[:8] @ STRONG
    other = losses.in_batch_contrast(plain[:, gold], same, args.contrast_temperature).mean()
    assert (other - contrast).abs() > 1e-2, "the names matter here"


def test_index_and_lists_of_neighbours_are_by_the_whole_score(tmp_path):
    trainer = make_trainer(tmp_path, named_linker(), vision=False, negatives="topk", pool_dense_neighbours=5)
    trainer.get_train_dataloader()
    trainer.refresh()
    sampler, scores = trainer.sampler, all_scores(trainer)
    candidates = sampler.candidates(np.arange(6), 0, sampler.strategy)
    torch.testing.assert_close(candidates.scores, scores[:6].gather(1, candidates.rows), rtol=1e-4, atol=1e-5)
    gold = torch.from_numpy(sampler.gold_rows[:6])[:, None]
    torch.testing.assert_close(candidates.gold_scores, scores[:6].gather(1, gold)[:, 0], rtol=1e-4, atol=1e-5)
    lists = sampler.state_dict()["dense"].numpy()
    best = scores.argsort(dim=1, descending=True, stable=True)[:, :6].numpy()
    assert np.array_equal(lists, np.where(best == sampler.gold_rows[:, None], -1, best))


def test_weights_are_learned_at_their_own_rate_without_decay(tmp_path):
    model = tiny_linker(False, name_features=True)
    first = model.pair_weights.weight.detach().clone()
    trainer = make_trainer(tmp_path, model, vision=False, max_steps=1, name_learning_rate=0.02, weight_decay=0.1)
    trainer.train()
    (group,) = [each for each in trainer.optimizer.param_groups if each["group"] == "names"]
    assert group["weight_decay"] == 0 and group["initial_lr"] == 0.02
    assert group["params"] == [model.pair_weights.weight]
    moved = (model.pair_weights.weight.detach() - first).abs()
    assert moved.max().item() == pytest.approx(0.02, rel=1e-3), "the first step of Adam is the rate"
    assert trainer.evaluate()["eval_mrr"] > 0
    model.save_pretrained(tmp_path / "model")
    assert torch.equal(type(model).from_pretrained(tmp_path / "model").pair_weights.weight, model.pair_weights.weight)


def test_names_alone_are_learned_to_tell_entities_apart(tmp_path):
    """With heads that stand still, the weights grow where the gold entity has more of a feature."""
    model = tiny_linker(False, name_features=True)
    with torch.no_grad():
        model.pair_weights.weight.zero_()
    options = {"learning_rate": 0.0, "weight_decay": 0.0, "max_steps": 12, "negatives": "random"}
    make_trainer(tmp_path, model, vision=False, **options).train()
    learned = dict(zip(PAIR_FEATURES, model.pair_weights.values.tolist(), strict=True))
    assert learned["mention_share"] > 0.02 and learned["name_share"] > 0.02
    assert learned["acronym"] == 0, "no name of these is an acronym"


@pytest.mark.parametrize(
    "options", [{"negatives": "topk", "dataloader_num_workers": 2}, {"negatives": "pg", "refresh_steps": 2}]
)
def test_resume_is_the_uninterrupted_run(options, tmp_path):
    options |= {"max_steps": 7, "discriminator_warmup_epochs": 0.5, "vision": False}
    whole = make_trainer(tmp_path / "whole", named_linker(), save_strategy="steps", save_steps=1, **options)
    whole.train()
    for step in (2, 5):
        resumed = make_trainer(tmp_path / f"resumed-{step}", named_linker(), **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert_equal(weights(whole), weights(resumed))
        assert_equal(*(flatten(each.sampler.state_dict()) for each in (whole, resumed)))
