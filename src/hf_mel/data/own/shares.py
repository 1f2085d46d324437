"""Shares of splits, as text and as numbers. Imports nothing heavy, so that a command can check them first."""

from collections.abc import Mapping


_SPLITS = ("train", "validation", "test")


def parse_shares(text: str) -> dict[str, float]:
    """Shares of train, validation and test, from text such as `"0.8/0.1/0.1"`.

    Raises:
        `ValueError`: other than three numbers that add up to 1.

    Example:

    ```python
    >>> from hf_mel.data.own.shares import parse_shares

    >>> parse_shares("0.8/0/0.2")
    {'train': 0.8, 'validation': 0.0, 'test': 0.2}
    >>> parse_shares("80/10/10")
    Traceback (most recent call last):
        ...
    ValueError: the share of train is 80: it must lie between 0 and 1, such as 0.8 for 80 %
    ```
    """
    words = text.split("/")
    if len(words) != len(_SPLITS):
        raise ValueError("write three shares, of train, validation and test, such as 0.8/0.1/0.1 or 0.9/0/0.1")
    shares = {}
    for split, word in zip(_SPLITS, words, strict=True):
        try:
            shares[split] = float(word)
        except ValueError:
            raise ValueError(f"the share of {split} is {word!r}, which is not a number") from None
    check_shares(shares)
    return shares


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuses shares that cannot be used.

    Args:
        shares (`Mapping[str, float]`): share by split.

    Raises:
        `ValueError`: names the split and its share.
    """
    for split, share in shares.items():
        if split not in _SPLITS:
            raise ValueError(f"there is no split {split!r}: use train, validation and test")
        if not 0 <= share <= 1:
            raise ValueError(f"the share of {split} is {share:g}: it must lie between 0 and 1, such as 0.8 for 80 %")
    if not shares.get("train"):
        raise ValueError("the share of train is 0: there would be nothing to train on")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"the shares add up to {sum(shares.values()):g}, not to 1")
