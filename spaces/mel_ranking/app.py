"""The page of the metric: candidates and gold entities in, hits@k and mean reciprocal rank out."""

# Written by hand: the widget of `evaluate` (0.4) needs components that Gradio has not had since version 4.
import re

import gradio as gr
from mel_ranking import MELRanking


COLUMNS = ("candidates, best first", "gold entity (empty: NIL)")
EXAMPLE = [["Q5 Q2 Q9", "Q2"], ["Q7", "Q7"], ["Q1 Q3", ""]]


def compute(rows: list[list[str]], ks: str) -> dict[str, float | int]:
    """
    The metric of a table.

    Args:
        rows (`list[list[str]]`): Candidates, between spaces or commas, and gold entity of each mention.
        ks (`str`): The cut-offs, between spaces or commas.
    """
    pairs = [(_words(row[0]), str(row[1] or "").strip()) for row in rows]
    pairs = [(candidates, gold) for candidates, gold in pairs if candidates or gold]  # a row that is not filled in
    if not pairs:
        raise gr.Error("Fill in a row: the candidates of a mention, best first, and its gold entity.")
    cut_offs = _words(ks)
    if not cut_offs or not all(word.isdecimal() and int(word) for word in cut_offs):
        raise gr.Error(f"The cut-offs must be numbers from 1 on, such as 1, 3, 5, 10; these are {ks!r}.")
    predictions, references = zip(*pairs, strict=True)
    # One for each question: an object holds the rows of one computation, and several people may ask at a time.
    metric = MELRanking(keep_in_memory=True)
    return metric.compute(predictions=predictions, references=references, ks=[int(word) for word in cut_offs])


def _words(text: str | None) -> list[str]:
    return re.findall(r"[^\s,]+", text or "")


def build() -> gr.Interface:
    """The page."""
    table = gr.Dataframe(
        value=EXAMPLE, headers=list(COLUMNS), datatype="str", type="array", interactive=True, label="Mentions"
    )
    return gr.Interface(
        fn=compute,
        inputs=[table, gr.Textbox("1, 3, 5, 10", label="k")],
        outputs=gr.JSON(label="Metrics"),
        title="MEL ranking",
        description=MELRanking(keep_in_memory=True).info.description,
        flagging_mode="never",
    )


if __name__ == "__main__":
    build().launch()
