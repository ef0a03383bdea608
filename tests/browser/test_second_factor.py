"""An owner turns two-step verification on in a browser and signs in with it, by keyboard alone; nothing for axe to find."""

import time
from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from core.jobs.models import Job
from tests.browser.conftest import PHONE, Site
from tests.browser.test_quality import Findings
from tests.world import PASSWORD, World


@pytest.fixture
def _mails(site: Site) -> Iterator[None]:
    yield
    Job.objects.filter(kind="accounts.jobs.mail_second_factor_notice").delete()


def give_password(page: Page, platform: str, email: str) -> None:
    page.goto(f"{platform}/sign-in")
    page.fill("[name=email]", email)
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")


def turn_on(page: Page, findings: Findings) -> pyotp.TOTP:
    """By way of the owner's home; the app that has been shown."""
    page.click('a[href="/second-factor"]')
    findings.look("off", page)
    page.click('main a[href="/second-factor/set-up"]')
    expect(page.locator("main svg[width]").first).to_be_visible()
    findings.look("set up", page)
    app = pyotp.TOTP(page.inner_text("main code").replace(" ", ""))
    page.focus("[name=code]")
    page.keyboard.type("nonsense")
    page.keyboard.press("Enter")
    expect(page.locator("#id_code_error")).to_be_visible()
    expect(page.locator("[name=code]")).to_be_focused()
    findings.look("refused", page)
    page.fill("[name=code]", app.now())
    page.keyboard.press("Enter")
    expect(page.locator("main ol code")).to_have_count(10)
    return app


@pytest.mark.usefixtures("_mails")
def test_an_owner_turns_it_on_and_signs_in_with_it(site: Site, committed_world: World) -> None:
    platform, email = f"http://localhost:{site.port}", User.objects.get(pk=committed_world.owner_a).email
    page = site.visitor(size=PHONE)
    findings = Findings(page)
    give_password(page, platform, email)
    page.wait_for_url("**/home")
    app = turn_on(page, findings)
    findings.look("codes", page)
    codes = page.locator("main ol code").all_inner_texts()
    with page.expect_download() as saved:
        page.click("main a[download]")
    assert saved.value.path().read_text().splitlines()[-10:] == codes
    page.click("main a.button")
    findings.look("on", page)
    page.context.clear_cookies()
    give_password(page, platform, email)
    page.wait_for_url("**/sign-in/code*")
    expect(page.locator("[name=code]")).to_be_focused()
    findings.look("code", page)
    page.keyboard.type(app.at(int(time.time()) + 30))  # The one of now was used, perhaps; a clock may be off by one.
    page.keyboard.press("Enter")
    page.wait_for_url("**/home")
    assert findings.found == {}
