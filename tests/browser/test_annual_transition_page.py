"""A newcomer in a real browser: reads the DAG's page, fills in the form, approves the plan, sees the run succeed."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize, sync_playwright

from demo import settings, standalone
from demo.server import PrivateMariaDB, free_port
from tests.support.site import YEAR, Site, make_folder, new_site

DAG = "annual_transition_ecampus"
CHAIN = [
    "preflight", "july_backup", "grade_exports", "apogee_sync", "detect_missing", "plan", "approval", "ex_rename",
    "purge", "enrolment", "verify", "report",
]  # fmt: skip
VIEWPORT: ViewportSize = {"width": 1600, "height": 900}
DIALOG = "[role=dialog][aria-modal=true]"
CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip


@dataclass(frozen=True)
class Airflow:
    """A running Airflow, the Moodle that it works on, a browser page that is logged in."""

    site: Site
    api: standalone.Api
    page: Page

    def open(self, path: str) -> None:
        self.page.goto(f"{self.api.address}{path}")
        self.page.wait_for_load_state("networkidle")

    def shot(self, name: str) -> None:
        """A picture for whoever looks: in the folder that SCREENSHOTS names, if any."""
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png")

    def wait_for(self, run: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until the condition holds; a failure tells where the run stands."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"the run does not go on: {states(self.api, run)}"
            time.sleep(1)


@pytest.fixture(scope="module")
def site(server: PrivateMariaDB, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from new_site(server, reference, make_folder(tmp_path_factory.mktemp("browser")))


@pytest.fixture(scope="module")
def airflow_ui(site: Site) -> Iterator[Airflow]:
    """Airflow as `make demo` starts it, on the real Moodle database."""
    if not shutil.which("chromium"):
        pytest.skip("no chromium")
    with pytest.MonkeyPatch.context() as patch:
        home = site.folder / "airflow"
        patch.setattr(settings, "AIRFLOW", home)
        patch.setattr(settings, "PASSWORDS", home / "passwords.json")
        patch.setattr(standalone, "SESSION_FILE", site.folder / "airflow.session")
        patch.setattr(standalone, "LOG", site.folder / "airflow.log")
        port = free_port()
        api = standalone.Api(port, settings.password())
        try:
            standalone.start({**site.environment(), **settings.airflow(port)})
            api.wait()
            api.wait_for_dag(DAG)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
                page = browser.new_page(viewport=VIEWPORT, locale="fr-FR", timezone_id="Europe/Paris")
                yield Airflow(site, api, log_in(page, api))
                browser.close()
        finally:
            standalone.stop()


def log_in(page: Page, api: standalone.Api) -> Page:
    page.goto(api.address)
    page.fill("input[name=username]", settings.LOGIN)
    page.fill("input[name=password]", api.password)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Dags").first.wait_for()
    return page


def test_the_graph_reads_as_the_chain(airflow_ui: Airflow) -> None:
    page = airflow_ui.page
    airflow_ui.open(f"/dags/{DAG}")
    page.get_by_role("button", name="Afficher le graphe").click()
    page.wait_for_selector(".react-flow__node")
    page.set_viewport_size({"width": 2600, "height": 700})  # wide enough to read the names
    page.locator(".react-flow__controls-fitview").click()
    page.wait_for_timeout(1500)
    airflow_ui.shot("graphe")
    places = {}
    for node in page.locator(".react-flow__node").all():
        box = node.bounding_box()
        assert box
        places[(node.inner_text().split() or [""])[0]] = box["x"]
    page.set_viewport_size(VIEWPORT)
    assert sorted((name for name in places if name in CHAIN), key=places.__getitem__) == CHAIN


def test_the_page_explains_itself(airflow_ui: Airflow) -> None:
    page = airflow_ui.page
    airflow_ui.open(f"/dags/{DAG}")
    page.get_by_role("button", name="Documentation du Dag").click()
    page.wait_for_selector(f"{DIALOG} h2")
    text = page.locator(DIALOG).inner_text()
    for title in ("Ce qu'elle change", "Ce qu'elle ne change jamais", "Arrêter", "Annuler"):
        assert title in text
    page.locator(DIALOG).evaluate("dialog => dialog.style.height = '780px'")
    airflow_ui.shot("documentation")


def test_a_person_runs_it_from_the_form_and_approves(airflow_ui: Airflow) -> None:
    page, api = airflow_ui.page, airflow_ui.api
    airflow_ui.open(f"/dags/{DAG}")
    page.get_by_role("button", name="Déclencher").first.click()
    form = page.locator(DIALOG)
    form.locator("[name=element_year]").fill(YEAR)
    form.locator("[name=element_dry_run]").dispatch_event("click")
    form.locator("[name=element_courses]").fill("L1MAT101")
    airflow_ui.shot("formulaire")
    form.get_by_role("button", name="Déclencher").last.click()
    page.wait_for_url(re.compile(r"/runs/"))
    run = page.url.split("/runs/")[1].split("?")[0]
    airflow_ui.wait_for(run, lambda: asks(api, run), 240)
    airflow_ui.open(f"/dags/{DAG}/runs/{run}/tasks/approval.decide/required_actions")
    page.wait_for_selector("text=L1MAT101")
    airflow_ui.shot("approbation")
    airflow_ui.wait_for(run, has_noted_the_pause, 60)  # a person reads longer than that
    page.get_by_role("button", name=re.compile("Approve|Approuver")).click()
    airflow_ui.wait_for(run, lambda: api.state(DAG, run) in ("success", "failed"), 300)
    assert api.state(DAG, run) == "success", states(api, run)
    airflow_ui.open(f"/dags/{DAG}/runs/{run}")
    page.wait_for_timeout(1500)
    airflow_ui.shot("execution")
    reports = list((airflow_ui.site.folder / "storage" / "ecampus" / YEAR / "reports").glob("*.html"))
    assert len(reports) == 1
    page.goto(reports[0].as_uri())
    assert "Transition terminée et vérifiée" in page.inner_text("body")
    airflow_ui.shot("rapport")


def asks(api: standalone.Api, run: str) -> bool:
    return states(api, run).get("approval.decide") == "awaiting_input"


def has_noted_the_pause() -> bool:
    """Whether the scheduler has noted that the task paused.

    An answer before that Airflow 3.3 takes for a fault of the task, and asks again (apache/airflow issue 72716).
    """
    noted = re.compile(r"Received executor event with state success.*task_id='approval\.decide'")
    return noted.search(standalone.LOG.read_text(errors="replace")) is not None


def states(api: standalone.Api, run: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in api.tasks(DAG, run)}
