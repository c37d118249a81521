"""The operators' page in a real browser: signing in, and what hostile texts do there (nothing)."""

import json
from pathlib import Path

import pytest

from tests.integration.edge.browser import CHROMIUM, Page, open_page
from tests.integration.edge.credentials import TOKEN
from tests.integration.edge.service import StartEdge

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no browser on this machine")]

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    "<svg onload=alert(1)>",
    "'\"><b>",
    "\u202egnp.exe\x1b[2J",
)
IS_SHOWN = "/[0-9]/.test(document.querySelector('main dd')?.textContent)"
ASKS = "document.getElementById('sign-in')?.hidden === false"


async def sign_in(page: Page, token: str) -> None:
    await page.value(f"document.getElementById('token').value = {token!r}")
    await page.value("document.querySelector('#sign-in button').click()")


async def test_the_page_asks_for_the_token_keeps_it_in_its_tab_and_sends_it(start_edge: StartEdge, tmp_path: Path) -> None:
    edge = await start_edge(admin_token=TOKEN, api_keys="ann=key-of-ann")
    async with open_page(edge.admin_url, tmp_path) as page:
        await page.until(ASKS)
        assert not await page.value(IS_SHOWN)
        await sign_in(page, "wrong")
        await page.until("document.getElementById('refused').textContent === 'This is not a valid token or key.'")
        await sign_in(page, "key-of-ann")
        await page.until("document.getElementById('refused').textContent === 'This key does not have the scope admin.'")
        await sign_in(page, TOKEN)
        await page.until(IS_SHOWN)

        assert not await page.value(ASKS)
        assert await page.value("sessionStorage.length === 1 && localStorage.length === 0 && document.cookie === ''")
        assert await page.value("document.getElementById('token').value") == ""
        assert TOKEN not in await page.value("location.href + document.documentElement.outerHTML")
        await page.value("document.getElementById('sign-out').click()")
        await page.until(f"document.readyState === 'complete' && {ASKS}")
        assert await page.value("sessionStorage.length") == 0
        assert not await page.value(IS_SHOWN)
        refused = [each for each in page.complaints if "401" not in str(each) and "403" not in str(each)]
        assert refused == []


async def test_an_open_listener_asks_for_nothing(start_edge: StartEdge, tmp_path: Path) -> None:
    edge = await start_edge()
    async with open_page(edge.admin_url, tmp_path) as page:
        await page.until(IS_SHOWN)

        assert not await page.value(ASKS)
        assert page.complaints == []


async def test_hostile_texts_are_shown_as_they_are_and_nothing_becomes_markup(start_edge: StartEdge, tmp_path: Path) -> None:
    edge = await start_edge()
    async with open_page(edge.admin_url, tmp_path) as page:
        await page.until(IS_SHOWN)
        for text in HOSTILE:
            told = json.dumps(text)
            shown = await page.value(
                f"import('/dom.js').then(({{ badge, el, table }}) => {{"
                f" const {{ region, rows }} = table({told}, [{told}, 'b']);"
                f" rows([{{ key: {told}, cells: [{told}, el('span', {{ title: {told} }}, {told})] }}]);"
                f" document.querySelector('main').append(region, badge({told})); return region.textContent; }})"
            )
            assert shown.count(text) == 4, (text, shown)
        assert await page.value("document.querySelectorAll('main img, main svg, main b, main script').length") == 0
        made = "import('/dom.js').then(({ el }) => el('a', { href: 'javascript:alert(1)' }))"
        refused = f"{made}.then(() => 'made', () => 'refused')"
        assert await page.value(refused) == "refused"
        # The browser itself makes no markup of a text here, and what had come in by some other way would not run.
        image = "<img src=x onerror='window.ran = 1'>"
        added = f"document.body.insertAdjacentHTML('beforeend', {json.dumps(image)})"
        markup = f"(() => {{ try {{ {added} }} catch {{ return 'refused' }} }})()"
        assert await page.value(markup) == "refused"
        assert await page.value("window.ran") is None
        assert not [each for each in page.complaints if each["method"] == "Page.javascriptDialogOpening"]
