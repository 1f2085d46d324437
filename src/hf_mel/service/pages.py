"""Small HTML pages about an entity. Everything that a knowledge base says is escaped."""

from html import escape
from typing import TYPE_CHECKING

from ..data.thumbnails import data_uri


if TYPE_CHECKING:
    from ..linking import IndexedEntity


# The page may load nothing: its picture is within it.
POLICY = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
WIDTH, HEIGHT = 420, 200
_STYLE = (
    "body{font:14px/1.4 sans-serif;margin:8px;color:#222}img{float:left;max-width:96px;max-height:96px;margin:0 10px 6px 0}"
    "h1{font-size:16px;margin:0}.id,.types{color:#666;font-size:12px}p{margin:4px 0}"
)


def fragment(entity: "IndexedEntity") -> str:
    """The entity as a piece of HTML: picture, name, id, types, text."""
    picture = data_uri(entity.thumbnail)
    parts = [
        f'<img src="{picture}" alt="">' if picture else "",
        f"<h1>{escape(entity.name)}</h1>",
        f'<p class="id">{escape(entity.id)}</p>',
        f'<p class="types">{escape(", ".join(entity.types))}</p>' if entity.types else "",
        f"<p>{escape(entity.text)}</p>",
    ]
    return "".join(parts)


def page(entity: "IndexedEntity") -> str:
    """A page for a frame of `WIDTH` by `HEIGHT` pixels."""
    return (
        f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{escape(entity.name)}</title>'
        f"<style>{_STYLE}</style></head><body>{fragment(entity)}</body></html>"
    )
