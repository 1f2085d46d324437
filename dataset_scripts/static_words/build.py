"""
Distils a sentence encoder into vectors of words: the text tower `static-words` of the package.

    MINILM=... HF_MEL_DATA=... python dataset_scripts/static_words/build.py [--out src/hf_mel/static_words]

MINILM is a folder of all-MiniLM-L6-v2, HF_MEL_DATA has MELBench's files. A vector of a word piece begins as the encoder's output for that
piece alone, in the main directions of its outputs for sentences. Vectors and weights are then trained so that weighted sums are near the
encoder's vectors of sentences. A sum has no order and no context. Ten to fifteen minutes on one core.
"""

import argparse
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import tqdm

from hf_mel import BagOfTokensConfig, BagOfTokensModel


ROOT = Path(__file__).parents[2]
MINILM = os.environ.get("MINILM", "sentence-transformers/all-MiniLM-L6-v2")
SIZE = 192
NUM_TEXTS, LETTERS, TOKENS = 30_000, 240, 48
EPOCHS, BATCH, SEED = 12, 512, 0
SPECIAL = 104  # ids below are [PAD], unused ones, [UNK], [CLS], [SEP], [MASK]
KEPT = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "model_max_length")  # settings of the tokenizer
CLIP = 0.625  # of the largest value: the few above are cut, and the others keep more of their 8 bits


def sentences(data: Path) -> list[str]:
    """Captions of WikiMEL and RichpediaMEL as MELBench published them, and attributes of WikiMEL's entities; a random part."""
    texts: set[str] = set()
    for name in ("wikimel/melbench/Wikidata-MEL.json", "richpediamel/melbench/Richpedia-MEL.json"):
        records = json.loads((data / name).read_text(encoding="utf-8")).values()
        texts |= {each["sentence"] for each in records}
    attributes = json.loads((data / "wikimel/ghmfc/input_data/qid2abs.json").read_text(encoding="utf-8")).values()
    texts |= set(attributes)
    cleaned = sorted({re.sub(r"\s+", " ", text).strip()[:LETTERS] for text in texts} - {""})
    chosen = np.random.default_rng(SEED).permutation(len(cleaned))[:NUM_TEXTS]
    return [cleaned[number] for number in chosen]


@torch.no_grad()
def encoded(model, tokenizer, texts: list[str], batch: int) -> np.ndarray:
    """Mean of the encoder's states over the tokens, `(num_texts, hidden_size)`."""
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
    result = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for begin in tqdm(range(0, len(texts), batch), desc="Encoding"):
        rows = order[begin : begin + batch]
        inputs = tokenizer(
            [texts[row] for row in rows], padding=True, truncation=True, max_length=TOKENS, return_tensors="pt"
        )
        mask = inputs["attention_mask"].unsqueeze(-1)
        result[rows] = ((model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)).numpy()
    return result


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def distilled(start: torch.Tensor, ids: list[list[int]], targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Vectors `(vocab_size, SIZE)` of length 1 and weights `(vocab_size,)` whose sums are near the targets `(num_texts, SIZE)`: in
    direction, and in the cosines between texts.
    """
    counts = np.bincount(np.concatenate(ids), minlength=len(start)) + 1.0
    weights = torch.tensor(1e-3 / (1e-3 + counts / counts.sum()), dtype=torch.float32)  # SIF, Arora et al. 2017
    vectors, logs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(weights.log())
    optimizer = torch.optim.Adam([{"params": [vectors], "lr": 2e-3}, {"params": [logs], "lr": 1e-2}])
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    for epoch in range(EPOCHS):
        losses = []
        for rows in np.array_split(np.random.default_rng(epoch).permutation(len(ids)), len(ids) // BATCH):
            flat = torch.tensor(np.concatenate([ids[row] for row in rows]))
            offsets = torch.tensor(np.cumsum([0, *(len(ids[row]) for row in rows[:-1])]))
            sums = F.embedding_bag(
                flat, F.normalize(vectors), offsets, mode="sum", per_sample_weights=logs.exp()[flat]
            )
            found, wanted = F.normalize(sums), targets[rows]
            loss = 1 - (found * wanted).sum(1).mean() + 5 * ((found @ found.T - wanted @ wanted.T) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", flush=True)
    return F.normalize(vectors.detach()), logs.detach().exp()


def write(folder: Path, vectors: torch.Tensor, weights: torch.Tensor) -> None:
    """A checkpoint whose vectors are stored in 8 bits; they all have about the same length, to which their sum is not bound."""
    folder.mkdir(parents=True, exist_ok=True)
    model = BagOfTokensModel(BagOfTokensConfig(vocab_size=len(vectors), hidden_size=SIZE, num_special=SPECIAL))
    model.config.architectures = [type(model).__name__]
    model.config.to_json_file(folder / "config.json")  # without the code, which the package has
    tokenizer = AutoTokenizer.from_pretrained(MINILM)
    tokenizer.backend_tokenizer.no_padding()  # a text is cut by the processor alone
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.init_kwargs = {name: tokenizer.init_kwargs[name] for name in KEPT}
    tokenizer.save_pretrained(folder)
    scale = 127 / (CLIP * vectors.abs().max())
    stored = {"vectors.weight": (vectors * scale).round().clamp(-127, 127).to(torch.int8), "token_weights": weights}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "hf_mel" / "static_words")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(MINILM)
    model = AutoModel.from_pretrained(MINILM).eval()
    texts = sentences(Path(os.environ["HF_MEL_DATA"]))
    found = unit(encoded(model, tokenizer, texts, 128))
    directions = np.linalg.svd(found, full_matrices=False)[2][:SIZE].T
    print(f"share of the sentences' vectors in {SIZE} directions: {(found @ directions).var() / found.var():.3f}")
    pieces = [piece.removeprefix("##") for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]
    start = torch.tensor(unit(unit(encoded(model, tokenizer, pieces, 512)) @ directions))
    ids = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=TOKENS)["input_ids"]
    vectors, weights = distilled(start, ids, torch.tensor(unit(found @ directions)))
    write(options.out, vectors, weights)
    for path in sorted(options.out.iterdir()):
        print(
            f"{path.name}: {path.stat().st_size:,} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        )


if __name__ == "__main__":
    main()
