"""The Trainer of all models, in which a generator of hard negatives may play against the model that links."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction, denumpify_detensorize
from transformers.utils import logging

from ..checkpoint import load_checkpoint
from ..compat import HookedTrainer
from ..data import KnowledgeBase, as_eval_mentions
from ..encoding import EntityInputs, MentionInputs, SideInputs, fill_mention_bank
from ..evaluation import ranking_metrics
from ..evaluation.models import Linkable, linkable_mentions, rank_mentions
from ..hub.fetch_checkpoint import local_checkpoint
from ..hub.training_callback import HubCallback
from ..models import MatchingModel, MELProcessor, PGMELGenerator
from ..negatives import AttributeBatches
from .arguments import MELTrainingArguments, PGMELTrainingArguments
from .best_model import for_evaluation_sets, objective_of
from .collator import MELCollator
from .feature_cache import FeatureCache
from .processes import Processes
from .refused import check_trainer_arguments
from .run_state import load_run_state, load_sides, save_run_state, save_sides, stop_not_finite
from .sampling import NegativeSampler, RefreshCallback
from .sides import build_step, check_optimizer, make_optimizer, with_adapters
from .step import TrainingStep


if TYPE_CHECKING:
    from peft import LoraConfig


logger = logging.get_logger(__name__)

COLLAPSED = 0.1  # H(p) / log N below which the generator always picks the same


class MELTrainer(HookedTrainer):
    """
    [`~transformers.Trainer`] for a model that links and, with `negatives="pg"`, a generator of hard negatives.

    `trainer.model` is the model that links, before, during and after training. Both sides are parameter groups of one
    optimizer, and one backward pass serves both losses, so checkpoints, schedules, accumulation, mixed precision and
    distributed training are the Trainer's own.

    Args:
        model ([`MatchingModel`] or `str`, *optional*):
            The model, or the name or folder of a checkpoint. Trained in place.
        args ([`MELTrainingArguments`], *optional*):
            The arguments. Defaults to those of the class, with `output_dir="tmp_trainer"`.
        train_dataset (`datasets.Dataset`, `pandas.DataFrame`, `list[dict]` or `dict[str, list]`):
            Mentions with the columns `mention`, `text` and `entity_id`, and optionally the others of
            [`MENTION_FEATURES`]; see [`as_mentions`]. NIL mentions are not trained on; how many there were is logged.
        knowledge_base ([`KnowledgeBase`]):
            The entities; the gold entity of each mention must be one of them.
        processing_class ([`MELProcessor`], *optional*):
            Processor of the model. Defaults to that of the checkpoint, if `model` is a name or a folder.
        eval_dataset (as `train_dataset`, or a `dict` of these by name, *optional*):
            Mentions which are ranked against the whole knowledge base. The first of several sets chooses the best model,
            unless `metric_for_best_model` names another.
        model_init (`Callable`, *optional*):
            Makes the model of each trial of [`~transformers.Trainer.hyperparameter_search`].
        compute_metrics (`Callable`, *optional*):
            Further metrics from an [`~transformers.EvalPrediction`], whose `predictions` are the ranks of the gold entities
            and whose `label_ids` are their entity rows.
        generator ([`PGMELGenerator`], *optional*):
            The generator to go on with. A strategy that reads a policy gets a new one where none is given.
        feature_cache_dir (`str`, *optional*):
            Folder for the features of frozen towers. Defaults to `feature_cache` in the output folder.
        peft_config (`peft.LoraConfig`, *optional*):
            Trains adapters in the towers, whose own weights stay as they are, and the heads: [`~MatchingModel.add_adapter`].
        callbacks, optimizers, optimizer_cls_and_kwargs:
            As in [`~transformers.Trainer`].
        data_collator, compute_loss_func, preprocess_logits_for_metrics:
            Refused: the collator draws negatives, the loss is that of [`MELTrainingArguments`], and there are no logits.

    Example:

    ```python
    trainer = MELTrainer(model, args, train_dataset=mentions, knowledge_base=kb, processing_class=processor)
    trainer.train()
    trainer.model.save_pretrained("my-model")
    ```
    """

    args: MELTrainingArguments
    args_class = MELTrainingArguments
    model: MatchingModel

    def __init__(
        self,
        model: MatchingModel | str | None = None,
        args: MELTrainingArguments | None = None,
        data_collator: None = None,
        train_dataset: Dataset | None = None,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        processing_class: MELProcessor | None = None,
        model_init: Callable[..., MatchingModel] | None = None,
        compute_loss_func: None = None,
        compute_metrics: Callable[[EvalPrediction], dict] | None = None,
        callbacks: list | None = None,
        optimizers: tuple = (None, None),
        optimizer_cls_and_kwargs: tuple | None = None,
        preprocess_logits_for_metrics: None = None,
        *,
        knowledge_base: KnowledgeBase | None = None,
        generator: PGMELGenerator | None = None,
        feature_cache_dir: str | None = None,
        peft_config: "LoraConfig | None" = None,
    ):
        args = self.args_class("tmp_trainer") if args is None else args
        if isinstance(model, (str, Path)):
            model, processor = load_checkpoint(str(model))
            processing_class = processor if processing_class is None else processing_class
        refused = dict(
            data_collator=data_collator, compute_loss_func=compute_loss_func, generator=model_init and generator
        )
        refused["preprocess_logits_for_metrics"] = preprocess_logits_for_metrics
        needed = dict(train_dataset=train_dataset, knowledge_base=knowledge_base, processing_class=processing_class)
        check_trainer_arguments(args, MELTrainingArguments, refused, needed)
        eval_dataset = as_eval_mentions(eval_dataset)
        args = for_evaluation_sets(args, eval_dataset, compute_metrics)
        self.knowledge_base = knowledge_base
        self.train_mentions = linkable_mentions(train_dataset, knowledge_base, "train")
        self.feature_cache_dir = feature_cache_dir or Path(args.output_dir) / "feature_cache"
        self._inputs: dict[str, SideInputs] = {}
        self._evaluated: dict[int, tuple[Dataset, Linkable]] = {}
        self._metrics: list[dict[str, torch.Tensor]] = []  # of the steps since the last line of the log
        self._given_generator, self._peft_config, self._step = generator, peft_config, None
        self.total_encodings, self.total_mentions, self.seconds = 0.0, 0, {"train": 0.0, "evaluate": 0.0}
        super().__init__(
            model=with_adapters(model, peft_config, args),
            args=args,
            train_dataset=range(len(self.train_mentions.gold_rows)),  # the collator reads the mentions
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            model_init=model_init,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
            optimizer_cls_and_kwargs=optimizer_cls_and_kwargs,
            hub=HubCallback(args),
        )
        self.processes = Processes(self.accelerator)
        self._progress = not args.disable_tqdm and self.is_world_process_zero()
        self.add_callback(RefreshCallback(self))
        check_optimizer(self.step, self.optimizer)  # what does not fit together is found now

    def call_model_init(self, trial=None) -> MatchingModel:
        """As in [`~transformers.Trainer`]; adapters are added, if there is a `peft_config`."""
        self._inputs = {}  # frozen towers of another model have other features
        return with_adapters(super().call_model_init(trial), self._peft_config, self.args)

    # ---- The two sides ----

    @property
    def step(self) -> TrainingStep:
        """The module of both sides which is trained; made again when `model_init` gives another model."""
        if self._step is None or self._step.discriminator is not self.model:
            sides, entities = (self.model, self._given_generator), partial(self.inputs_of, None)
            step = build_step(*sides, self.args, self.train_mentions, self.knowledge_base, self.processes, entities)
            self._step = step.to(self.args.device)
        return self._step

    @property
    def sampler(self) -> NegativeSampler:
        """Draws candidates and negatives."""
        return self.step.sampler

    @property
    def generator(self) -> PGMELGenerator | None:
        """The model that picks negatives."""
        return self.step.generator

    def training_module(self) -> nn.Module:
        """The module that is trained, in place of the model that links."""
        return self.step

    def fill_bank(self) -> None:
        """Store training mentions, encoded by the current model, in a model whose scores look them up."""
        inputs, batch_size = partial(self.inputs_of, self.train_mentions), self.args.per_device_eval_batch_size
        with self.accelerator.autocast():
            fill_mention_bank(self.model, inputs, self.args.seed, batch_size)

    # ---- Inputs ----

    def inputs_of(self, mentions: Linkable | None) -> SideInputs:
        """Inputs of a set of mentions, or of the entities (`None`); features, computed once, where the towers are frozen."""
        key = "entities" if mentions is None else mentions.fingerprint
        if key not in self._inputs:
            if mentions is None:
                inputs = EntityInputs(self.knowledge_base, self.processing_class)
            else:
                inputs = MentionInputs(mentions.dataset, self.processing_class)
            if self.model.towers_frozen:
                options = {"batch_size": self.args.per_device_eval_batch_size, "dtype": self.args.feature_dtype}
                options |= {"progress": self._progress, "num_workers": self.args.dataloader_num_workers}
                fingerprint = (self.knowledge_base if mentions is None else mentions).fingerprint
                inputs = FeatureCache.build(self.feature_cache_dir, self.model, inputs, fingerprint, **options)
            self._inputs[key] = inputs
        return self._inputs[key]

    @property
    def _sharing(self) -> dict:
        """Division of the encoding of a side among processes and workers; features of frozen towers need no workers."""
        num_workers = 0 if self.model.towers_frozen else self.args.dataloader_num_workers
        position = self.processes.index, self.processes.count
        return {"process": position, "reduce": self.processes.sum, "num_workers": num_workers}

    def get_train_dataloader(self) -> DataLoader:
        """As in [`~transformers.Trainer`], over the numbers of the mentions."""
        self._prepare()
        return super().get_train_dataloader()

    def _prepare(self) -> None:
        """Lists of neighbours and features of frozen towers, which do not change in a training; and their collator."""
        self.sampler.prepare(progress=self._progress)
        self.data_collator = MELCollator(self.sampler, self.inputs_of(self.train_mentions), self.inputs_of(None))

    def train_sampler(self):
        """[`AttributeBatches`], if `batch_sampler` asks for them."""
        args, gold_rows = self.args, self.train_mentions.gold_rows
        if args.batch_sampler != "attribute":
            return None
        # Rows that are the same entity count as one.
        _, first, golds = np.unique(self.knowledge_base.identity[gold_rows], return_index=True, return_inverse=True)
        attributes = self.knowledge_base.attribute_sets(gold_rows[first])
        seed = args.seed if args.data_seed is None else args.data_seed
        return AttributeBatches(attributes, golds, args.train_batch_size * args.world_size, seed)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args, **kwargs):
        """
        As in [`~transformers.Trainer`]; the lists of the negative pools are made first. `resume_from_checkpoint` may also be a
        repository on the Hub to which checkpoints were pushed, as `org/name` or `org/name@revision`.
        """
        resume_from_checkpoint = local_checkpoint(resume_from_checkpoint, self.args)
        self._metrics = []
        if self.model_init is None:  # before the clock starts
            self._prepare()
            self.sampler.refreshed_for = None  # the index of an earlier training is out of date
        try:
            with self._timed("train"):
                output = super().train(resume_from_checkpoint, *args, **kwargs)
                self.fill_bank()
            return output
        finally:
            self.wait_for_pushes()  # of a run that was broken off: the last checkpoint is what it goes on from

    def hyperparameter_search(
        self, hp_space=None, compute_objective=None, n_trials=20, direction=None, *args, **kwargs
    ):
        """As in [`~transformers.Trainer`]; the objective defaults to `metric_for_best_model`, in its direction."""
        compute_objective, direction = objective_of(self.args, compute_objective, direction)
        return super().hyperparameter_search(hp_space, compute_objective, n_trials, direction, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """As in [`~transformers.Trainer`]: ranks every mention against the whole knowledge base."""
        with self._timed("evaluate"):
            return super().evaluate(*args, **kwargs)

    @contextmanager
    def _timed(self, what: str):
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - begin

    # ---- Training step ----

    def refresh(self) -> None:
        """Before an epoch or a step: refreshes the index if it is due, and starts the generator after the warm-up."""
        epoch, step = self.state.epoch or 0.0, self.state.global_step
        if self.step.generator_waits and epoch >= self.args.discriminator_warmup_epochs:
            self.generator.copy_heads(self.model.heads)
            self.step.generator_waits = False
        if self.sampler.due(epoch, step):
            self.fill_bank()
            sides = self.inputs_of(self.train_mentions), self.inputs_of(None)
            with self.accelerator.autocast():
                self.sampler.refresh(self.model, *sides, epoch, step, **self._sharing)

    def training_step(self, model, inputs, num_items_in_batch=None):
        """One micro-batch; stops at a loss that is not finite."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            mentions = self.train_mentions.dataset.select(inputs["mentions"].tolist())
            stop_not_finite(loss.item(), self.state.global_step + 1, mentions["id"][:], self.args.output_dir)
        return loss

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The losses of both sides whose turn it is; `model` is the [`TrainingStep`]."""
        epoch = self.state.epoch or 0.0
        if "candidates" not in inputs:
            inputs = self._prepare_inputs(inputs | self.data_collator.draw(inputs, epoch))
        outputs = model(inputs, int(epoch), self._step.turns(epoch, self.state.global_step))
        if outputs["updates"] is not None:
            found = (torch.as_tensor(each) for each in (inputs["mentions"], outputs["updates"]))
            self.sampler.strategy.remember(*(self.processes.gather(each).cpu().numpy() for each in found))
        self.total_encodings += float(outputs["logs"]["encodings"])
        self.total_mentions += len(inputs["mentions"])
        if self.args.logging_strategy != "no":
            self._metrics.append(outputs["logs"])
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def clip_gradients(self) -> torch.Tensor:
        """Clips each side by its own norm; returns the norm of both."""
        norms = self.step.clip_gradients()
        if self.args.logging_strategy != "no":
            self._metrics.append({f"{side}_grad_norm": norm.detach() for side, norm in norms.items()})
        return torch.stack(list(norms.values())).norm()

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """One optimizer; parameter groups by side, by tower or head, and by weight decay."""
        if self.optimizer is None:
            chosen = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(self.args, self.step)
            decayed = self.get_decay_parameter_names(self.step)
            self.optimizer = make_optimizer(self.step, self.args, decayed, *chosen)
        return self.optimizer

    # ---- Evaluation ----

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ) -> EvalLoopOutput:
        """Ranks every mention against the whole knowledge base; `predictions` are the ranks of the gold entities."""
        self.fill_bank()
        mentions = self._linkable(dataloader.dataset, metric_key_prefix)
        options = self._sharing | {"batch_size": self.args.per_device_eval_batch_size, "progress": self._progress}
        with self.accelerator.autocast():
            sides = self.inputs_of(mentions), self.inputs_of(None)
            names = self.sampler.names, mentions.dataset["mention"][:]
            ranks = rank_mentions(self.model, *sides, mentions.gold_rows, names=names, **options)
        metrics = ranking_metrics(ranks) | {"num_nil": mentions.num_nil}
        if self.compute_metrics is not None:  # a metric of the same name replaces that of the package
            metrics |= self.compute_metrics(EvalPrediction(predictions=ranks, label_ids=mentions.gold_rows))
        prefix, metrics = f"{metric_key_prefix}_", denumpify_detensorize(metrics)
        metrics = {f"{prefix}{name.removeprefix(prefix)}": value for name, value in metrics.items()}
        return EvalLoopOutput(predictions=ranks, label_ids=mentions.gold_rows, metrics=metrics, num_samples=len(ranks))

    def _linkable(self, dataset: Dataset, split: str) -> Linkable:
        """[`linkable_mentions`], once for each data set; the data set is kept, so that its `id` stays its own."""
        if id(dataset) not in self._evaluated:
            self._evaluated[id(dataset)] = dataset, linkable_mentions(dataset, self.knowledge_base, split)
        return self._evaluated[id(dataset)][1]

    # ---- Checkpoints ----

    def save_weights(self, folder: Path) -> None:
        """The model and the processor in the folder, the generator in `generator/`."""
        self.fill_bank()
        save_sides(self.step, self.args, folder)
        self.processing_class.save_pretrained(folder)

    def load_weights(self, folder: Path) -> None:
        """Both sides, in place."""
        load_sides(self.step, folder)

    def save_run_state(self, folder: Path) -> None:
        """Everything on which the negatives and rewards of the next steps depend."""
        save_run_state(self.step, folder)

    def load_run_state(self, folder: Path) -> None:
        """Counterpart of [`save_run_state`]."""
        load_run_state(self.step, folder)

    # ---- Logging ----

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the means, since the last time, of what the steps reported."""
        if self._metrics and "loss" in logs:
            means, self._metrics = self.processes.means(self._metrics), []
            if means.get("generator_entropy", 1.0) < COLLAPSED:
                logger.warning(
                    f"the generator is collapsing: its entropy is {means['generator_entropy']:.3f} of that of a uniform "
                    "choice. Raise `entropy_weight`, `entropy_floor` or `policy_temperature`."
                )
            logs = logs | means | {name: value for name, value in self.sampler.costs.items() if value}
        super().log(logs, start_time)


class PGMELTrainer(MELTrainer):
    """[`MELTrainer`] with the defaults of PGMEL: see [`PGMELTrainingArguments`]."""

    args_class = PGMELTrainingArguments
