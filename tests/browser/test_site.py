"""A published site in a real browser: below a sub-path, narrow and wide, links work, no violation of its policy."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator

import pytest

from devbench.findings.changes_build import find_changes
from devbench.results.history import History
from devbench.results.store import Store
from devbench.serve.publish import publish
from tests.browser.chromium import Chromium
from tests.made import store as made
from tests.made.views import EVIL, view

pytestmark = pytest.mark.browser


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a site below `/team/devbench/` of a plain server of files."""
    folder = tmp_path_factory.mktemp("site")
    path = str(tmp_path_factory.mktemp("store") / "results.db")
    with Store(path) as store:
        made.make(store)
        store.add_run(view(name=EVIL, title=EVIL))
    with History(path) as history:
        publish(find_changes(history), folder / "team" / "devbench")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/team/devbench/"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.mark.parametrize("width", [390, 1400])
def test_every_page_opens_and_fits(browser: Chromium, address: str, width: int) -> None:
    browser.size(width, 900)
    browser.complaints.clear()
    browser.open(address)
    links = browser.run("[...new Set([...document.querySelectorAll('main td a')].map(a => a.href))]")
    assert len(links) > 5
    assert all(link.startswith(address) for link in links)
    for link in links:
        browser.open(link)
        # The id of an element is also a global name in the page's scripts.
        assert browser.run("!window.echarts || typeof window.echarts.init === 'function'")
        assert browser.run("document.querySelectorAll('main section').length") >= 2
        assert browser.run("document.documentElement.scrollWidth") <= width, link
        assert browser.run("document.querySelectorAll('main script:not([data-charts])').length") == 0
    # A browser asks for an icon by itself.
    assert [one for one in browser.complaints if "404" not in one] == []


def test_a_change_leads_to_its_page_with_a_drawn_chart_and_back(browser: Chromium, address: str) -> None:
    browser.size(1400, 900)
    browser.open(address)
    browser.open(browser.run("document.querySelector('#changes td a').href"))
    browser.run("document.querySelector('.plot').scrollIntoView()")
    browser.wait("document.querySelector('.plot').dataset.drawn === 'yes'")
    assert browser.run("document.querySelectorAll('#history .plot').length") >= 1
    browser.open(browser.run("document.querySelector('nav a').href"))
    assert browser.run("location.pathname").endswith("/team/devbench/index.html")
