"""HTML of what the page shows. Everything that comes from data is escaped."""

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

from hf_mel import LinkedEntity, LinkedMention
from hf_mel.linking import Explanation
from hf_mel.models.graphemes import shortened
from linking import Variant


_SCORES = (
    ("Total", "score", "the picture and the text together"),
    ("Text", "text_score", "the texts alone"),
    ("Picture", "image_score", "the pictures alone"),
)


def alert(message: str) -> str:
    """Something went wrong: read out at once by screen readers."""
    return f'<div class="mel-alert" role="alert"><strong>This did not work.</strong> {text(message)}</div>'


def hint(message: str) -> str:
    """In place of an answer."""
    return f'<p class="mel-hint">{text(message)}</p>'


def answer(explanation: Explanation) -> str:
    """The entity or NIL, with the reason and the share of the picture."""
    linked = explanation.linked
    parts = (_sentence(linked), _entity(explanation), _share(linked), _reasons(explanation.reasons[1:]))
    return f'<section aria-label="Answer">{"".join(parts)}</section>'


def candidates(explanation: Explanation) -> str:
    """The best candidates as cards, also where the answer is NIL."""
    if not explanation.candidates:
        return ""
    scale = _scale([candidate.entity for candidate in explanation.candidates])
    cards = []
    for candidate in explanation.candidates:
        chosen = candidate.entity.entity_id == explanation.linked.entity_id
        cards.append(_card(candidate.rank, candidate.entity, candidate.thumbnail, chosen, scale))
    return (
        f'<h3 class="mel-heading">{len(cards)} best of {explanation.num_candidates} candidates</h3>'
        '<p class="mel-soft">Scores are cosines; the bars of all cards have one scale.</p>'
        f'<ol class="mel-cards" aria-label="Candidates">{"".join(cards)}</ol>'
    )


def variants(found: Sequence[Variant]) -> str:
    """The answers with the picture, with it blurred, and without it, beside each other."""
    first = found[0].linked
    parts = [f'<p class="mel-verdict">{text(verdict(found))}</p>', '<ol class="mel-variants" aria-label="Pictures">']
    for variant in found:
        linked = variant.linked
        changed = linked.entity_id != first.entity_id
        picture = "" if variant.picture is None else data_uri_of(variant.picture)
        parts.append(
            f'<li class="mel-card{" mel-changed" if changed else ""}"><h3>{text(variant.name)}</h3>'
            f"{_image(picture, f'The picture: {variant.name}', 'no picture')}"
            f'<p class="mel-name">{text(_answer_name(linked))}</p>'
            f"{_badge('another answer') if changed else ''}"
            f'<p class="mel-soft">{text(_probability(linked))}</p>{_share(linked)}'
            f"<p>Best candidates:</p><ol>"
        )
        parts += [f"<li>{text(each.name)} <b>{each.score:.2f}</b></li>" for each in linked.candidates]
        parts.append("</ol></li>")
    return "".join([*parts, "</ol>"])


def verdict(found: Sequence[Variant]) -> str:
    """What the picture does, in sentences."""
    first, *others = found
    begin = f"With the picture the answer is {_answer_name(first.linked)}."
    if all(variant.linked.entity_id == first.linked.entity_id for variant in others):
        return f"{begin} Blurred or dropped, it stays."
    return " ".join([begin, *(f"{variant.name}: {_answer_name(variant.linked)}." for variant in others)])


# ---- Parts ----


def _sentence(linked: LinkedMention) -> str:
    before, after = linked.text[: linked.start], linked.text[linked.end :]
    return f'<p class="mel-sentence" dir="auto">{text(before)}<mark>{text(linked.mention)}</mark>{text(after)}</p>'


def _entity(explanation: Explanation) -> str:
    linked = explanation.linked
    reason = text(explanation.reasons[0]) if explanation.reasons else ""
    if linked.is_nil or linked.best is None:
        return (
            '<div class="mel-entity mel-nil"><div class="mel-box" aria-hidden="true">∅</div><div>'
            f'<h2 id="mel-result">NIL: nothing fits</h2><p>{reason}</p></div></div>'
        )
    best, thumbnail = linked.best, explanation.candidates[0].thumbnail
    undecided = "" if linked.is_nil is False else _badge("best candidate, NIL not decided")
    types = f" · {', '.join(best.types)}" if best.types else ""
    return (
        f'<div class="mel-entity">{_image(_jpeg(thumbnail), f"Picture of {best.name}", "no picture")}<div>'
        f'<h2 id="mel-result">{text(best.name)}</h2>{undecided}'
        f'<p class="mel-soft">{text(best.entity_id + types)}</p>'
        f'<p class="mel-about">{text(shortened(best.text, 240, "…"))}</p><p>{reason}</p></div></div>'
    )


def _share(linked: LinkedMention) -> str:
    """How much the gate lets the picture say."""
    if linked.image_weight is None or not linked.has_image:
        return ""
    share = min(max(linked.image_weight, 0.0), 1.0)
    return (
        f'<div class="mel-share"><p>The gate: <b>{share:.0%} picture</b>, {1 - share:.0%} text</p>'
        f'<div class="mel-track" aria-hidden="true"><span class="mel-picture" style="width:{share:.1%}"></span></div></div>'
    )


def _reasons(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    lines = "".join(f"<li>{text(reason)}</li>" for reason in reasons)
    return f'<details class="mel-why"><summary>Why?</summary><ul>{lines}</ul></details>'


def _card(
    rank: int | None, entity: LinkedEntity, thumbnail: bytes | None, chosen: bool, scale: tuple[float, float]
) -> str:
    called = "" if entity.matched_alias in (None, entity.name) else f"also called {entity.matched_alias} · "
    likely = "" if entity.probability is None else f"<b>{entity.probability:.0%}</b> probable"
    return (
        f'<li class="mel-card{" mel-chosen" if chosen else ""}"><div class="mel-head">'
        f"{_image(_jpeg(thumbnail), f'Picture of {entity.name}', 'no picture')}<div>"
        f'<p class="mel-name"><span class="mel-rank">{rank}</span> {text(entity.name)}</p>'
        f'<p class="mel-soft">{text(called + entity.entity_id)}</p><p class="mel-likely">{likely}'
        f"{_badge('linked') if chosen else ''}</p></div></div>"
        f'<p class="mel-about mel-soft">{text(shortened(entity.text, 90, "…"))}</p>{_bars(entity, scale)}</li>'
    )


def _bars(entity: LinkedEntity, scale: tuple[float, float]) -> str:
    lines = []
    for label, field, meaning in _SCORES:
        value = getattr(entity, field)
        if value is None:
            shown, bar = '<span class="mel-soft">none</span>', ""
        else:
            low, high = scale
            start, end = sorted(((0 - low) / (high - low), (value - low) / (high - low)))
            shown = f"{value:.2f}"
            bar = f'<span class="mel-{label.lower()}" style="left:{start:.1%};width:{end - start:.1%}"></span>'
        lines.append(
            f'<dt title="Score of {meaning}">{label}</dt><dd><span class="mel-track" aria-hidden="true">{bar}</span>'
            f'<span class="mel-number">{shown}</span></dd>'
        )
    return f'<dl class="mel-bars">{"".join(lines)}</dl>'


def _scale(entities: Sequence[LinkedEntity]) -> tuple[float, float]:
    """Lowest and highest value of the bars; 0 is always among them."""
    values = [getattr(each, field) for each in entities for _, field, _ in _SCORES]
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    return (low, high) if high > low else (0.0, 1.0)


def _answer_name(linked: LinkedMention) -> str:
    if linked.is_nil or linked.best is None:
        return "NIL"
    return linked.best.name


def _probability(linked: LinkedMention) -> str:
    if linked.best is None:
        return "no candidate"
    if linked.probability is None:
        return f"score {linked.best.score:.2f}"
    return f"{'best candidate: ' if linked.is_nil else ''}probability {linked.probability:.0%}"


def _image(source: str, alt: str, otherwise: str) -> str:
    if not source:
        return f'<div class="mel-box mel-soft">{text(otherwise)}</div>'
    return f'<img src="{source}" alt="{text(alt)}">'


def _jpeg(content: bytes | None) -> str:
    return "" if content is None else f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def data_uri_of(picture: Image.Image) -> str:
    """A picture inside its own address, small enough for a page."""
    small = picture.copy()
    small.thumbnail((256, 256))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _badge(label: str) -> str:
    return f'<span class="mel-badge">{text(label)}</span>'


def text(value: str) -> str:
    """As text in HTML; `$` and braces too, which the page's own templates would read."""
    return escape(str(value)).replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;")
