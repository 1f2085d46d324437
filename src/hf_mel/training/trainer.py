"""The Trainer that plays the discriminator against the generator."""

import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput

from ..data import KnowledgeBase, as_eval_mentions
from ..encoding import EntityInputs, MentionInputs, SideInputs, tower_features
from ..evaluation import ranking_metrics
from ..models import MatchingModel, PGMELGenerator, PGMELGeneratorConfig, PGMELProcessor
from .adversarial import AdversarialStep, StepPlan
from .arguments import PGMELTrainingArguments
from .attribute_batches import attribute_batches
from .checkpoints import load_sampler, load_sides, save_sampler, save_sides, stop_not_finite
from .collator import GoldInputs, MELCollator, MentionRows, rows_only
from .contrast import OptimizerBatch
from .evaluating import rank_mentions
from .feature_cache import FeatureCache
from .groups import parameter_groups
from .linkable import Linkable, linkable_mentions
from .mention_bank import fill_mention_bank
from .processes import Processes
from .publishing import PublishingTrainer
from .resuming import local_checkpoint
from .sampling import NegativeSampler
from .step_metrics import StepMetrics


class PGMELTrainer(PublishingTrainer):
    """
    [`~transformers.Trainer`] for a discriminator, which is the model that links, and a generator of hard negatives.

    Both are parameter groups of one optimizer, and one backward pass serves both losses, so checkpoints, schedules,
    accumulation, mixed precision and distributed training are the Trainer's own.

    Args:
        model ([`MatchingModel`]):
            The discriminator, such as a [`PGMELModel`]. Trained in place.
        args ([`PGMELTrainingArguments`]):
            The arguments.
        train_dataset (`datasets.Dataset`, `pandas.DataFrame`, `list[dict]` or `dict[str, list]`):
            Mentions with the columns `mention`, `text` and `entity_id`, and optionally the others of
            [`MENTION_FEATURES`]; see [`as_mentions`]. NIL mentions are not trained on; how many there were is logged.
        knowledge_base ([`KnowledgeBase`]):
            The entities; the gold entity of each mention must be one of them.
        processing_class ([`PGMELProcessor`]):
            Processor of the model.
        eval_dataset (as `train_dataset`, or a `dict` of these by name, *optional*):
            Mentions which are ranked against the whole knowledge base.
        generator ([`PGMELGenerator`], *optional*):
            The generator, which goes on from what it is. With `negatives="pg"` one is made where none is given.
        feature_cache_dir (`str`, *optional*):
            Where the features of frozen towers are kept. Defaults to `feature_cache` in the output folder.
        callbacks, optimizers:
            As in [`~transformers.Trainer`].
    """

    args: PGMELTrainingArguments
    model: AdversarialStep

    # Our loss is divided by the mentions of the whole optimizer batch: the Trainer shall not divide it again.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: MatchingModel,
        args: PGMELTrainingArguments,
        train_dataset: Dataset,
        knowledge_base: KnowledgeBase,
        processing_class: PGMELProcessor,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        generator: PGMELGenerator | None = None,
        feature_cache_dir: str | None = None,
        callbacks: list | None = None,
        optimizers: tuple = (None, None),
    ):
        if args.n_gpu > 1:
            raise ValueError("one process cannot train on several GPUs: start one for each with `torchrun`")
        self.knowledge_base = knowledge_base
        self.train_mentions = linkable_mentions(train_dataset, knowledge_base, "train")
        self._cache_dir = Path(feature_cache_dir or Path(args.output_dir) / "feature_cache")
        self._inputs: dict[str, SideInputs] = {}
        self._evaluated: dict[int, tuple[Dataset, Linkable]] = {}
        self._metrics = StepMetrics()
        self.total_encodings, self.total_mentions = 0.0, 0
        self.seconds = {"train": 0.0, "evaluate": 0.0}
        copy_heads = generator is None and args.negatives == "pg" and args.generator_init == "discriminator"
        if generator is None and args.negatives == "pg":
            generator = self._new_generator(model, args)
        identity = torch.from_numpy(np.asarray(knowledge_base.identity, dtype=np.int64))
        super().__init__(
            model=AdversarialStep(model, generator, args, identity, copy_heads),
            args=args,
            data_collator=rows_only,
            train_dataset=MentionRows(len(self.train_mentions.gold_rows)),
            eval_dataset=as_eval_mentions(eval_dataset),
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        self.processes = Processes(self.accelerator)
        names = self.train_mentions.dataset["mention"][:]
        self.sampler = NegativeSampler(args, names, self.train_mentions.gold_rows, knowledge_base)

    @staticmethod
    def _new_generator(model: MatchingModel, args: PGMELTrainingArguments) -> PGMELGenerator:
        options = {"policy_temperature": args.policy_temperature}
        if args.generator_projection_size is not None:
            options["projection_size"] = args.generator_projection_size
        # From the seed alone, whatever was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            return PGMELGenerator(PGMELGeneratorConfig.from_model_config(model.config, **options))

    @property
    def discriminator(self) -> MatchingModel:
        """The model that links."""
        return self.model.discriminator

    @property
    def generator(self) -> PGMELGenerator | None:
        """The model that picks negatives."""
        return self.model.generator

    def fill_bank(self) -> None:
        """Store training mentions, as the discriminator sees them now, in one whose scores look them up."""
        inputs, batch_size = partial(self.inputs_of, self.train_mentions), self.args.per_device_eval_batch_size
        with self.accelerator.autocast():
            fill_mention_bank(self.discriminator, inputs, self.args.seed, batch_size)

    @property
    def _shows_progress(self) -> bool:
        return not self.args.disable_tqdm and self.is_world_process_zero()

    # ---- Inputs ----

    def inputs_of(self, mentions: Linkable | None) -> SideInputs:
        """Inputs of a set of mentions, or of the entities (`None`); features where the towers are frozen."""
        key = "entities" if mentions is None else mentions.fingerprint
        if key not in self._inputs:
            if mentions is None:
                inputs = EntityInputs(self.knowledge_base, self.processing_class)
            else:
                inputs = MentionInputs(mentions.dataset, self.processing_class)
            if self.discriminator.towers_frozen:
                inputs = FeatureCache.build(
                    self._cache_dir,
                    self.discriminator,
                    inputs,
                    self.knowledge_base.fingerprint if mentions is None else mentions.fingerprint,
                    batch_size=self.args.per_device_eval_batch_size,
                    dtype=self.args.feature_dtype,
                    progress=self._shows_progress,
                    num_workers=self.args.dataloader_num_workers,
                )
            self._inputs[key] = inputs
        return self._inputs[key]

    @property
    def _sharing(self) -> dict:
        """Who encodes which rows, and how many workers read for the towers: the features of frozen ones lie ready."""
        num_workers = 0 if self.discriminator.towers_frozen else self.args.dataloader_num_workers
        return {"process": self.processes.position, "reduce": self.processes.sum, "num_workers": num_workers}

    def get_train_dataloader(self):
        """As in the Trainer, over the numbers of the mentions."""
        # Which entities a step reads is known beforehand only if it is the gold ones alone.
        ahead = self.inputs_of(None) if self.args.negatives == "in_batch" and self._sharing["num_workers"] else None
        self.data_collator = MELCollator(self.inputs_of(self.train_mentions), self.train_mentions.gold_rows, ahead)
        return super().get_train_dataloader()

    def train_sampler(self):
        """Mentions whose gold entities share attributes together, if `batch_sampler` says so."""
        return attribute_batches(self.args, self.train_mentions.gold_rows, self.knowledge_base)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args, **kwargs):
        """
        As in [`~transformers.Trainer`]; the lists of the negative pools are made first. `resume_from_checkpoint` may also be a
        repository on the Hub to which checkpoints were pushed, as `org/name` or `org/name@revision`.
        """
        if resume_from_checkpoint and not isinstance(resume_from_checkpoint, bool):
            resume_from_checkpoint = str(local_checkpoint(resume_from_checkpoint, self.args))
        self.sampler.prepare(progress=self._shows_progress)
        self.inputs_of(self.train_mentions), self.inputs_of(None)  # features are computed before the clock starts
        try:
            with self._timed("train"):
                output = super().train(resume_from_checkpoint, *args, **kwargs)
                self.fill_bank()
            return output
        finally:
            self.wait_for_pushes()  # of a run that was broken off: the last checkpoint is what it goes on from

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

    # ---- Schedule ----

    def turns(self) -> tuple[bool, bool]:
        """Whether the discriminator and the generator learn in this step: a function of the Trainer's state alone."""
        epoch = self.state.epoch or 0.0
        warm = self.args.discriminator_warmup_epochs
        if self.generator is None or epoch < warm:
            return True, False
        if epoch < warm + self.args.generator_warmup_epochs:
            return False, True
        position = self.state.global_step % max(self.args.discriminator_steps, self.args.generator_steps)
        return position < self.args.discriminator_steps, position < self.args.generator_steps

    def _plan(self, batch: dict, total: int) -> StepPlan:
        epoch = int(self.state.epoch or 0.0)
        warming = (self.state.epoch or 0.0) < self.args.discriminator_warmup_epochs
        strategy = self.sampler.warmup_strategy if warming else self.sampler.strategy
        if not warming:
            self.model.start_generator()
            if self.sampler.due(epoch, self.state.global_step):
                self._refresh(epoch)
        train_discriminator, train_generator = self.turns()
        entity_inputs, kept = self.inputs_of(None), self.sampler.kept_features
        if kept is None and isinstance(entity_inputs, FeatureCache):
            kept = entity_inputs.pooled()
        pool = self.sampler.pool(strategy, batch["mentions"].cpu().numpy(), epoch)
        return StepPlan(
            epoch=epoch,
            seed=self.args.seed,
            strategy=strategy,
            pool=pool.to(batch["mentions"].device),
            uniform_share=0.0 if warming else self.args.uniform_share,
            train_discriminator=train_discriminator,
            train_generator=train_generator,
            entity_inputs=GoldInputs(entity_inputs, batch),
            generator_inputs=kept,
            index=self.sampler.index,
            batch=self._batch,
            loss_scale=self.processes.count / total,
        )

    def _refresh(self, epoch: int) -> None:
        self.fill_bank()
        with self.accelerator.autocast():
            self.sampler.refresh(
                self.discriminator,
                self.inputs_of(self.train_mentions),
                self.inputs_of(None),
                epoch,
                self.state.global_step,
                **self._sharing,
            )

    # ---- Training step ----

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """As in the Trainer; also remembers the optimizer batch, over all of which the contrast goes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._batch = OptimizerBatch(batches, self.processes, self._encode_batch)
        local = sum(len(batch["mentions"]) for batch in batches)
        return batches, self.processes.sum(torch.tensor(local, device=device))

    def training_step(self, model, inputs, num_items_in_batch=None):
        """One micro-batch; before the optimizer's step each side is clipped by its own norm."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._batch.micro_step += 1
        if not torch.isfinite(loss):
            ids = self.train_mentions.dataset.select(inputs["mentions"].tolist())["id"][:]
            stop_not_finite(loss.item(), self.state.global_step + 1, ids, self.args.output_dir)
        if self.accelerator.sync_gradients:
            self._clip()
            if self._batch.rewards:  # once an optimizer step, so that accumulation changes nothing
                self.model.observe_rewards(self.processes.sum(torch.stack(self._batch.rewards).sum(dim=0)))
        return loss

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Losses of both sides whose turn it is."""
        plan = self._plan(inputs, int(num_items_in_batch))
        outputs = model(inputs["mentions"], inputs["gold_rows"], inputs["inputs"], plan)
        loss, updates = outputs.pop("loss"), outputs.pop("updates")
        if updates is not None:
            plan.strategy.remember(*self.processes.gather_arrays(updates))
        if "reward_total" in outputs:
            self._batch.rewards.append(outputs.pop("reward_total"))
        self.total_encodings += float(outputs["encodings"])
        self.total_mentions += len(inputs["mentions"])
        for name, value in outputs.items():
            self._metrics.add(name, value)
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def _encode_batch(self, batch: dict) -> tuple[dict, dict]:
        """Encodings of mentions and gold entities, without gradient."""
        batch = self._prepare_inputs(batch)
        with self.compute_loss_context_manager():
            features = tower_features(self.discriminator, batch["inputs"])
            mentions = self.model.encode("mention", features)
            entities = self.model.encode_gold(batch["gold_rows"], GoldInputs(self.inputs_of(None), batch))
        return mentions, entities

    def _clip(self) -> None:
        sides = {"discriminator": self.discriminator, "generator": self.generator}
        for name, module in sides.items():
            limit = getattr(self.args, f"{name}_max_grad_norm")
            if module is not None and limit > 0:
                norm = torch.nn.utils.clip_grad_norm_(module.parameters(), limit)
                self._metrics.add(f"{name}_grad_norm", norm.detach())

    # ---- Optimizer ----

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """One optimizer; parameter groups by side, by tower or head, and by weight decay."""
        if self.optimizer is None:
            optimizer_cls, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            decayed = self.get_decay_parameter_names(self.model)
            self.optimizer = optimizer_cls(parameter_groups(self.model, self.args, decayed), **options)
        return self.optimizer

    # ---- Evaluation ----

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ) -> EvalLoopOutput:
        """Ranks every mention against the whole knowledge base; `predictions` are the ranks of the gold entities."""
        self.fill_bank()
        mentions = self._linkable(dataloader.dataset, metric_key_prefix)
        with self.accelerator.autocast():
            ranks = rank_mentions(
                self.discriminator,
                self.inputs_of(mentions),
                self.inputs_of(None),
                mentions.gold_rows,
                self.args.per_device_eval_batch_size,
                progress=self._shows_progress,
                **self._sharing,
            )
        metrics = ranking_metrics(ranks) | {"num_nil": mentions.num_nil}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        return EvalLoopOutput(predictions=ranks, label_ids=mentions.gold_rows, metrics=metrics, num_samples=len(ranks))

    def _linkable(self, dataset: Dataset, split: str) -> Linkable:
        """[`linkable_mentions`], once for each data set; the data set is kept, so that its `id` stays its own."""
        if id(dataset) not in self._evaluated:
            self._evaluated[id(dataset)] = dataset, linkable_mentions(dataset, self.knowledge_base, split)
        return self._evaluated[id(dataset)][1]

    def get_eval_dataloader(self, eval_dataset=None):
        """A loader that is never iterated: the evaluation reads the data set itself."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, str):
            dataset = self.eval_dataset[dataset]
        if dataset is None:
            raise ValueError("there is nothing to evaluate: pass `eval_dataset`")
        return DataLoader(dataset, batch_size=self.args.eval_batch_size)

    def get_test_dataloader(self, test_dataset):
        """As [`get_eval_dataloader`], for `predict`."""
        return self.get_eval_dataloader(test_dataset)

    # ---- Checkpoints ----

    def save_weights(self, folder: Path) -> None:
        """The discriminator and the processor in the folder, the generator in `generator/`."""
        self.fill_bank()
        save_sides(self.model, self.args, folder)
        self.processing_class.save_pretrained(folder)

    def load_weights(self, folder: Path) -> None:
        """Both sides, in place."""
        load_sides(self.model, folder)

    def save_run_state(self, folder: Path) -> None:
        """What the negatives of the next steps depend on."""
        save_sampler(self.sampler, self.model, folder)

    def load_run_state(self, folder: Path) -> None:
        """Counterpart of [`save_run_state`]."""
        load_sampler(self.sampler, self.model, folder)

    # ---- Logging ----

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the means, since the last time, of what the steps reported."""
        if self._metrics and "loss" in logs:
            costs = {name: value for name, value in self.sampler.costs.items() if value}
            logs = logs | self._metrics.means(self.processes) | costs
        super().log(logs, start_time)
