"""Links of a proxied page: which lead back through the proxy, and what stays as it is."""

from __future__ import annotations

import time

import pytest

from podspace.wire import html_links

PREFIX = "/api/v1/namespaces/n/pods/p/proxy"
HOSTS = ("10.0.0.2:80", "localhost:6443")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/a", f"{PREFIX}/a"),
        ("/", f"{PREFIX}/"),
        ("/a/b/?q=1#f", f"{PREFIX}/a/b/?q=1#f"),
        ("http://10.0.0.2:80/a", f"{PREFIX}/a"),
        ("https://localhost:6443/a", f"{PREFIX}/a"),
        (f"{PREFIX}/a", f"{PREFIX}/a"),
        ("a/b", "a/b"),
        ("#there", "#there"),
        ("http://example.com/a", "http://example.com/a"),
        ("mailto:a@example.com", "mailto:a@example.com"),
        ("http://[broken/", "http://[broken/"),
    ],
)
def test_a_link_to_the_same_host_gets_the_proxys_path(link: str, expected: str) -> None:
    assert html_links.url(link, PREFIX, HOSTS) == expected


def rewritten(text: str) -> str:
    return html_links.page(text, "/P", HOSTS)


def test_the_links_of_a_page_and_nothing_else() -> None:
    page = """<!DOCTYPE html><html><a class="x" href="/a?b=1&amp;c=2">/a</a><IMG SRC='/i.png'><form action=/go><p href="/no">1 < 2"""
    assert rewritten(page) == (
        """<!DOCTYPE html><html><a class="x" href="/P/a?b=1&amp;c=2">/a</a><IMG SRC="/P/i.png"><form action="/P/go"><p href="/no">1 < 2"""
    )


def test_what_is_no_markup_stays() -> None:
    for text in (
        "<!-- <a href='/a'> -->",
        "<script>let x = \"<a href='/a'>\"</script>",
        "<style>a{background:url(/a)}</style>",
        '<a href="/a',
        "<!-- <a href='/a'>",
    ):
        assert rewritten(text) == text
    assert rewritten('<script src="/x.js"></script><a href="/y">') == '<script src="/P/x.js"></script><a href="/P/y">'


def test_a_page_made_to_take_long_does_not() -> None:
    begun = time.process_time()
    long_names = "<a " + "b" * 200_000 + ">", "<a " + "-b" * 100_000 + " = >"
    for text in (
        *long_names,
        '<a "' * 200_000,
        "<a " * 200_000,
        "<!--" * 200_000,
        "<script>" * 100_000,
        '<a href="/' + "a=" * 200_000 + '">',
    ):
        rewritten(text)
    assert time.process_time() - begun < 5
