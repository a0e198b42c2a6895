"""/openapi.json and /docs: the page works in a real browser, under its own policy, with nothing from outside."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import trio

from web.app import create_app
from web.openapi import document

CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).parents[2]


async def test_the_document_is_served_as_it_is_made(api):
    response = await api.get("/openapi.json")

    assert response.status_code == 200
    assert response.json() == document(create_app(None, insecure=False))


async def test_a_file_of_the_page_is_sent_again_only_when_it_changed(api):
    response = await api.get("/docs/docs.js")
    again = await api.get("/docs/docs.js", headers={"If-None-Match": response.headers["ETag"]})

    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%00", "vendor", "docs.js%20"])
async def test_no_other_file_can_be_read(api, name):
    api.problem(await api.get(f"/docs/{name}"), 404)


def test_the_vendored_files_are_those_that_were_fetched():
    subprocess.run([sys.executable, ROOT / "tools" / "vendor.py", "--check"], check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
async def test_the_page_shows_every_operation_and_breaks_no_rule_of_its_policy(api):
    seen = await trio.to_thread.run_sync(_look, f"{api.url}/docs")

    assert seen["complaints"] == []
    assert [url for url in seen["requests"] if not url.startswith((api.url, "data:"))] == []
    paths = document(create_app(None, insecure=False))["paths"]
    assert sorted(seen["operations"]) == sorted(f"{method.upper()} {path}" for path in paths for method in paths[path])
    assert "application/json" in seen["opened"]


def _look(url):
    """Open the page in a browser and tell what it shows, asks for and complains of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asyncio's, which playwright brings along
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 1600})
            try:
                return _read(page, url)
            finally:
                browser.close()


def _read(page, url):
    seen = {"complaints": [], "requests": []}
    page.on("console", lambda said: seen["complaints"].append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen["complaints"].append(str(error)))
    page.on("request", lambda request: seen["requests"].append(request.url))
    page.goto(url)
    page.wait_for_selector(".opblock")
    seen["operations"] = [" ".join(one.split()[:2]) for one in page.locator(".opblock-summary-path").all_inner_texts()]
    methods = page.locator(".opblock-summary-method").all_inner_texts()
    paths = [path.replace("\u200b", "").strip() for path in seen["operations"]]
    seen["operations"] = [f"{method} {path}" for method, path in zip(methods, paths, strict=True)]
    page.locator("#operations-instances-instances_start .opblock-summary-control").click()
    page.wait_for_selector(".opblock-body .responses-table")
    seen["opened"] = page.locator(".opblock-body").first.inner_text()
    if "CALLSHEET_SCREENSHOT" in os.environ:
        page.screenshot(path=os.environ["CALLSHEET_SCREENSHOT"])
    return seen


def test_the_command_line_prints_the_document():
    done = subprocess.run([sys.executable, "-m", "callsheet", "openapi"], capture_output=True, check=True)

    assert json.loads(done.stdout) == document(create_app(None, insecure=False))
