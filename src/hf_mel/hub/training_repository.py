"""The repository of a training run, opened before the training starts."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx
from transformers import TrainingArguments
from transformers.utils import logging

from .cards import CARD_FILE, is_written_by_hand
from .faults import explained, is_fault


logger = logging.get_logger(__name__)


def open_repository(args: TrainingArguments, token: str | None = None, private: bool | None = None) -> str:
    """
    Creates the repository of a run, if it does not exist, and checks that the token may write to it. A model card that
    somebody wrote on the Hub is copied into the output folder, so that it is kept.

    Args:
        args ([`~transformers.TrainingArguments`]):
            `hub_model_id`, by default the name of the output folder; `hub_revision`, a branch that is created, too.
        token (`str`, *optional*):
            Defaults to the token of `hf auth login`.
        private (`bool`, *optional*):
            Whether a new repository is private. Defaults to `hub_private_repo`.

    Returns:
        `str`: the repository, as `org/name`.

    Raises:
        `OSError`: the Hub cannot be reached, or refuses. The message says what to do.
    """
    name = args.hub_model_id or Path(args.output_dir).absolute().name
    api = HfApi(token=token)
    try:
        private = args.hub_private_repo if private is None else private
        repo_id = api.create_repo(name, private=private, exist_ok=True).repo_id
        try:
            api.auth_check(repo_id, write=True)  # because `create_repo` succeeds if the repository exists
        except HfHubHTTPError as error:
            if error.response.status_code in (401, 403):  # not every Hub answers the question
                raise
        if args.hub_revision is not None:
            api.create_branch(repo_id, branch=args.hub_revision, exist_ok=True)
        _keep_card(api, repo_id, args.hub_revision, Path(args.output_dir) / CARD_FILE)
    except (OSError, httpx.HTTPError) as error:
        if not is_fault(error):
            raise
        reason = explained(error, name if "/" in name else f"your account/{name}", api)
        raise OSError(
            f"cannot push to {name} on the Hub: {reason} (To train without pushing, set `push_to_hub=False`.)"
        ) from error
    return repo_id


def _keep_card(api: HfApi, repo_id: str, revision: str | None, card: Path) -> None:
    there = {"repo_id": repo_id, "filename": CARD_FILE, "revision": revision}
    if is_written_by_hand(card) or not api.file_exists(**there):
        return
    found = Path(api.hf_hub_download(**there))
    if is_written_by_hand(found) or not card.exists():
        card.parent.mkdir(parents=True, exist_ok=True)
        card.write_bytes(found.read_bytes())
    if is_written_by_hand(found):
        logger.warning(f"{repo_id} has a card that was written by hand: it is kept, and now also in {card}")
