"""The catalogue: every kind of finding with its severity, its meaning in one sentence, and what to do."""

from dataclasses import dataclass


SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Kind:
    """Description of a kind of finding, whatever the data."""

    severity: str
    title: str
    meaning: str
    advice: str


_KEEP_TOGETHER = (
    "Split by caption if you make your own split; with the published one, say the share beside the result."
)

KINDS: dict[str, Kind] = {
    # ---- Reading ----
    "unreadable_data": Kind(
        "error",
        "data that cannot be read",
        "The files are there, but are not the benchmark that they should be.",
        "Correct what is listed, or fetch the files again.",
    ),
    "empty_splits": Kind(
        "error",
        "splits without mentions",
        "A split has no mention, so nothing can be trained or measured on it.",
        "Look whether its file was cut off, or leave the split out.",
    ),
    "records_left_out": Kind(
        "warning",
        "records left out when the files were read",
        "The record lacks a field, or its mention or sentence is no text, such as two line breaks; it is not in the data below.",
        "Nothing, if they are few: state the number next to a result. `strict` refuses such files.",
    ),
    # ---- Ids and gold ----
    "unknown_gold": Kind(
        "error",
        "gold ids absent from the knowledge base",
        "The entity that a mention is linked to is not among the entities, so no model can find it.",
        "Take the knowledge base of the same release, or count these mentions as NIL and say how many they are.",
    ),
    "duplicate_mention_ids": Kind(
        "error",
        "mention ids used more than once",
        "Several mentions have one id (or none), so predictions cannot be told apart.",
        "Give each mention an id of its own.",
    ),
    "similar_entity_ids": Kind(
        "warning",
        "entity ids equal but for case and spacing",
        "Two entities differ only in how their id is written, so they are probably one.",
        "Write ids in one way and merge the entities.",
    ),
    "nil": Kind(
        "info",
        "NIL mentions",
        "The mention has no entity in the knowledge base, and the benchmark says so.",
        "State in a result whether NIL mentions count; a loader that drops them ranks fewer mentions.",
    ),
    "gold_name_differs": Kind(
        "info",
        "names of gold entities that the knowledge base does not know",
        "The name beside the gold id is neither name nor alias of that entity; many of them mean shifted ids.",
        "Compare the examples: other spellings are harmless, other entities are not.",
    ),
    # ---- Mentions ----
    "empty_mentions": Kind(
        "error", "empty mentions", "There is no text to link.", "Leave the record out, or restore its mention."
    ),
    "empty_texts": Kind(
        "error", "empty sentences", "The mention has no context.", "Leave the record out, or restore its sentence."
    ),
    "one_word_texts": Kind(
        "info",
        "one-word sentences",
        "The sentence is a single word, so the text gives the mention no context.",
        "Nothing, if captions are like that; many of them point to a column that was cut.",
    ),
    "mentions_not_in_text": Kind(
        "warning",
        "mentions not in their sentence",
        "The mention does not stand in its sentence literally, so it has no offsets and cannot be marked there.",
        "Use models that take the mention beside the sentence, or correct the spelling; count what is left out.",
    ),
    "offset_mismatches": Kind(
        "error",
        "offsets that do not match",
        "`text[start:end]` is not the mention, so the wrong words would be marked.",
        "Offsets count characters (not bytes or tokens) from 0, `end` is exclusive; null is better than wrong.",
    ),
    "offsets_absent": Kind(
        "info",
        "mentions without offsets that stand in their sentence",
        "The mention is in its sentence, but the record does not say where.",
        "Fill `start` and `end`, or leave it to the processor, which takes the first occurrence.",
    ),
    "repeated_mentions": Kind(
        "warning",
        "mentions given more than once",
        "Sentence, mention, place and gold are those of an earlier record with another id.",
        "Keep one of them; in a test split they weigh double.",
    ),
    "contradictory_mentions": Kind(
        "warning",
        "mentions with contradictory gold",
        "The same mention at the same place of the same sentence is linked to different entities.",
        "Decide for one; at most one of them can be answered right from the text.",
    ),
    # ---- Entities ----
    "identical_entities": Kind(
        "warning",
        "entities that look the same",
        "Name and text equal those of another entity, so only a picture could tell them apart.",
        "Merge them, or give their ids as `same_entity`; as negatives of each other they teach nothing.",
    ),
    "duplicate_names": Kind(
        "info",
        "names shared by several entities",
        "Entities have exactly the same name; that is what makes linking hard, and no fault.",
        "Nothing, if the entities differ; their text must tell them apart.",
    ),
    "names_equal_normalised": Kind(
        "info",
        "names equal after normalisation",
        "Names differ only in case, width, spacing or underscores.",
        "Write names in one way; look whether the entities are the same.",
    ),
    "entities_without_text": Kind(
        "warning",
        "entities without text",
        "Neither attributes nor a description: only the name (and a picture) describes the entity.",
        "Take the texts of another release, or accept that these entities are known by name alone.",
    ),
    # ---- Quoting ----
    "quoting_percent": Kind(
        "warning",
        "URL-quoted text",
        "Text holds codes such as `%20` where a character should stand.",
        "Unquote it (`urllib.parse.unquote`) before use.",
    ),
    "quoting_html": Kind(
        "warning",
        "HTML-quoted text",
        "Text holds codes such as `&amp;` where a character should stand.",
        "Unquote it (`html.unescape`) before use.",
    ),
    "quoting_escapes": Kind(
        "warning",
        "escape sequences in text",
        "Text holds codes such as `\\u00e9` literally, as left behind by JSON that was written twice.",
        "Decode the text once more where it was made.",
    ),
    "quoting_underscores": Kind(
        "warning",
        "underscores in names",
        "A name is written as a page title, with `_` for spaces, and equals no mention.",
        "Replace `_` by a space.",
    ),
    "quoting_mojibake": Kind(
        "warning",
        "text decoded wrongly",
        "UTF-8 was read as another encoding: `Ã©` stands for `é`.",
        "Read the file as UTF-8, or repair the text by `text.encode('cp1252').decode('utf-8')`.",
    ),
    "odd_characters": Kind(
        "warning",
        "control and replacement characters",
        "Text holds control characters, invisible ones, or `\ufffd` where a character was lost.",
        "Remove the invisible ones; what was lost must be read again from the source.",
    ),
    "padded_names": Kind(
        "warning",
        "names with spaces around them",
        "A name or mention begins or ends with a space and so equals no other.",
        "Strip it.",
    ),
    # ---- Pictures ----
    "missing_picture_folders": Kind(
        "warning",
        "folders of pictures that are not there",
        "Records name files in a folder that is empty or not there; they are used without a picture.",
        "Fetch the folder or name it by `images`; for text alone, read no pictures (`--no_pictures`).",
    ),
    "incomplete_picture_folders": Kind(
        "error",
        "folders of pictures of which many are not there",
        "The folder holds only part of the pictures that records name; the others are used without a picture.",
        "Fetch the rest of the folder, or state how many records had no picture; `image_status` says which.",
    ),
    "missing_pictures": Kind(
        "error",
        "missing pictures",
        "The record names a picture file which is not there; it is used without a picture.",
        "Complete the picture folder or name it; or state that so many records had no picture.",
    ),
    "unreadable_pictures": Kind(
        "error",
        "unreadable pictures",
        "The file cannot be decoded (cut off, empty, HTML, too large); the record is used without a picture.",
        "Fetch the file again.",
    ),
    "blank_pictures": Kind(
        "warning",
        "blank pictures",
        "Every pixel has one colour, which is what some loaders leave behind after an error; it is not used.",
        "Fetch the file again, or leave the record without a picture.",
    ),
    "status_contradictions": Kind(
        "error",
        "picture states that contradict the pictures",
        "`image_status` says `ok` where there is no picture, has an unknown value, or denies a picture that is there.",
        "Build the data again.",
    ),
    "tiny_pictures": Kind(
        "warning",
        "tiny pictures",
        "The shorter side has fewer than 32 pixels: probably an icon or a placeholder.",
        "Look at them; take a larger version, or leave the record without a picture.",
    ),
    "duplicate_entity_pictures": Kind(
        "warning",
        "pictures shared by several entities",
        "Entities have byte for byte the same picture (a flag, a logo, a placeholder), which cannot tell them apart.",
        "Look at them; a placeholder is better left out.",
    ),
    "duplicate_mention_pictures": Kind(
        "warning",
        "pictures shared by several sentences",
        "Mentions of different sentences have byte for byte the same picture.",
        "Harmless within a split; across splits it is leakage.",
    ),
    "gold_pictures_in_mentions": Kind(
        "warning",
        "pictures of mentions that are those of their gold entity",
        "Mention and gold entity have byte for byte the same picture: comparing files links them.",
        "Take another picture for one of them, or state the share beside a result.",
    ),
    "picture_leakage": Kind(
        "warning",
        "pictures that leak between splits",
        "A picture of a later split stands, byte for byte, in an earlier one.",
        _KEEP_TOGETHER,
    ),
    # ---- Candidates ----
    "gold_position_in_candidates": Kind(
        "warning",
        "candidates whose order gives the gold entity away",
        "The gold entity is at the same position of nearly every candidate list, so whatever uses the order is right.",
        "Sort candidates by id, or shuffle them, before anything reads them; results that used their order are not valid.",
    ),
    # ---- Between splits, and compared to the release ----
    "caption_leakage": Kind(
        "warning",
        "captions that leak between splits",
        "A caption of a later split stands in an earlier one, so what is tested on was partly trained on.",
        f"{_KEEP_TOGETHER} `--drop_leaked` of `hf-mel data build` drops these captions from train.",
    ),
    "entity_overlap": Kind(
        "info",
        "gold entities of the last split known from an earlier one",
        "Gold entities occur in several splits, so a model can know them from training.",
        "Nothing; report seen and unseen entities apart where the difference matters.",
    ),
    "statistics_differ": Kind(
        "info",
        "statistics unlike the expected ones",
        "The data are not the complete release in number, for the reason given.",
        "State next to a result which release it was measured on, and what was left out.",
    ),
    "statistics_unexplained": Kind(
        "warning",
        "statistics unlike the expected ones, unexplained",
        "The numbers differ from those of the complete release and the reason is not known.",
        "Look for files that are cut off, filtered or of another release.",
    ),
    "gold_beyond_candidates": Kind(
        "info",
        "gold entities not among 100 lexical candidates",
        "The name of the gold entity does not resemble the mention, so lexical candidates miss it.",
        "Rank against the whole knowledge base, or count these mentions as wrong.",
    ),
}
"""Kinds of findings by id, in the order of the report within a severity."""
