"""Take the README's picture of the page, from a run whose ratings are simulated.

    python scripts/screenshot.py outputs/latest docs/page.png

It needs the extra [test] and Chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

PORT = 8766
SHOWN = "/#r=1:5,260:4.5,318:4"


def main() -> None:
    """Serve a run, open the page with a few ratings, and save what is seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "movie_embed", "serve", f"run={given.run}", f"port={PORT}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server, sync_playwright() as play:  # noqa: S603
        try:
            assert server.stdout
            server.stdout.readline()  # it tells its address
            browser = play.chromium.launch(executable_path=shutil.which("chromium"))
            page = browser.new_page(viewport={"width": 1280, "height": 760})
            for _ in range(50):
                try:
                    page.goto(f"http://localhost:{PORT}{SHOWN}")
                    break
                except Exception:
                    page.wait_for_timeout(100)
            page.click("#keep")
            page.click("#hush")
            page.wait_for_selector("#map-tools", state="visible")
            page.wait_for_timeout(1_000)  # the titles of the map
            page.screenshot(path=given.picture)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
