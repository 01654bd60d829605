"""python -m tests.screenshot FILE.png [ADDRESS] [--locale en-US] [--dark] [--phone]: the page's picture in the README.

The page must be running. It is asked to speak one of its own examples, and taken when the speech is complete.
"""

import argparse

from tests.needs import open_browser
from tests.test_page import PATIENT


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.screenshot", description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:7860/")
    parser.add_argument("--locale", default="zh-CN")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--phone", action="store_true")
    arguments = parser.parse_args()
    with open_browser() as browser:
        context = browser.new_context(
            locale=arguments.locale,
            color_scheme="dark" if arguments.dark else "light",
            viewport={"width": 390, "height": 844} if arguments.phone else {"width": 1280, "height": 860},
            device_scale_factor=1.5,
        )
        page = context.new_page()
        page.goto(arguments.address)
        page.locator("#editor[data-ready=true], #editor [data-ready=true]").first.wait_for(state="attached")
        page.locator("#examples button").first.click()
        page.locator("#speak").click()
        page.locator("[data-part=whole]").wait_for(timeout=PATIENT)
        page.mouse.move(0, 0)
        page.wait_for_timeout(1200)  # the first words are sounding
        page.screenshot(path=arguments.file, full_page=True)


if __name__ == "__main__":
    main()
