"""Links of a proxied page, led through the proxy again: what an API server does to the HTML and to the redirects of Pods.

Called by ``streaming.http_proxy``. Pure, and linear in the page's size whatever the page says: a container may mean harm.
Source: apimachinery util/proxy: links to the same host with an absolute path get the proxy's own path in front.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

# Which attributes are links, by tag.
_LINKS: dict[str, tuple[str, ...]] = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
_VERBATIM = ("script", "style", "textarea", "title")  # what is in them is no markup
_TAG = re.compile(r"""<([a-zA-Z][a-zA-Z0-9]*+)((?:[^>"']|"[^"]*"|'[^']*')*+)>""")
# Not from the middle of a name: else a long one without a value is read as often as it has letters.
_ATTRIBUTE = re.compile(r"""(?<![a-zA-Z-])([a-zA-Z-]++)(\s*+=\s*+)("[^"]*"|'[^']*'|[^\s"'>]++)""")


def page(text: str, prefix: str, hosts: tuple[str, ...]) -> str:
    """The page with its links rewritten. ``prefix``: the proxy's path; ``hosts``: names by which the page means itself."""
    return "".join(_pieces(text, prefix, hosts))


def _pieces(text: str, prefix: str, hosts: tuple[str, ...]) -> Iterator[str]:
    lower, done = text.lower(), 0
    while (start := text.find("<", done)) >= 0:
        yield text[done:start]
        if text.startswith("<!--", start):
            done = _after(text, "-->", start)
            yield text[start:done]
            continue
        if not text[start + 1 : start + 2].isalpha():
            yield "<"
            done = start + 1
            continue
        tag = _TAG.match(text, start)
        if tag is None:  # it never ends: nothing behind it is a tag either
            done = start
            break
        name = tag[1].lower()
        yield f"<{tag[1]}{_attributes(name, tag[2], prefix, hosts)}>"
        done = tag.end()
        if name in _VERBATIM:
            end = lower.find(f"</{name}", done)
            end = len(text) if end < 0 else end
            yield text[done:end]
            done = end
    yield text[done:]


def _after(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    return len(text) if found < 0 else found + len(mark)


def _attributes(tag: str, text: str, prefix: str, hosts: tuple[str, ...]) -> str:
    links = _LINKS.get(tag)
    if links is None:
        return text

    def rewritten(found: re.Match[str]) -> str:
        name, equals, value = found.groups()
        if name.lower() not in links:
            return found[0]
        quoted = value[0] in "\"'"
        old = html.unescape(value[1:-1] if quoted else value)
        new = url(old, prefix, hosts)
        return found[0] if new == old else f'{name}{equals}"{html.escape(new)}"'

    return _ATTRIBUTE.sub(rewritten, text)


def url(link: str, prefix: str, hosts: tuple[str, ...]) -> str:
    """One link, or the Location of a redirect. What leads to another host, or is relative, stays."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return link
    if (parts.netloc and parts.netloc not in hosts) or not parts.path.startswith("/"):
        return link
    path = parts.path
    if not path.startswith(prefix):
        path = posixpath.normpath(f"{prefix}/{path}") + ("/" if path.endswith("/") else "")
        path = path.replace("//", "/")
    return urlunsplit(("", "", path, parts.query, parts.fragment))
