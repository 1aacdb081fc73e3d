"""A real router, a real worker and a real Redis behind the page, a log of ten thousand decisions, and a real Chromium before it."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from router.access.settings import AccessSettings
from router.settings import PlanSettings, ServerSettings, Settings, WorkerSettings
from router.terms import TenantSettings
from router.types import Knobs
from tests.conftest import RedisServer
from tests.console.traffic import Traffic, fill, questions
from tests.integration.conftest import POOLS, working
from tests.integration.door import keys_of

PAGE = Path(__file__).parents[2] / "router" / "console" / "page"
PLANS = {
    "nano-direct": PlanSettings(pool="nano", strategy="direct", tokens=1_000, cost=200, price=(0.11, 0.45, 0.8)),
    "small-solve": PlanSettings(pool="small", strategy="direct", options={"skill": "solve"}, tokens=2_000, cost=1_000, price=(0.11, 0.45, 0.8)),
    "small-vote": PlanSettings(pool="small", strategy="self_consistency", options={"n": 16}, tokens=12_000, cost=6_000, price=(0.11, 0.45, 0.8)),
}
DECISIONS = 10_000
"""Of `default`; `quiet` has none."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Router:
    """`rheostat serve` in a process of its own, which may be killed and begun again at the same port."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.url = f"http://{settings.server.http}"
        self._config = folder / "settings.yaml"
        self._config.write_text(settings.model_dump_json(exclude={"config"}))
        self.start()

    def start(self) -> None:
        env = os.environ | {"RHEOSTAT_CONFIG": str(self._config), "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen([sys.executable, "-m", "router", "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                httpx2.get(f"{self.url}/console/").raise_for_status()
                return
            except httpx2.HTTPError:
                assert self._process.poll() is None
                time.sleep(0.05)
        raise AssertionError("the router does not come up")

    def kill(self) -> None:
        """As kill -9."""
        self._process.kill()
        self._process.wait()


@dataclass
class Site:
    """What is looked at, and everybody's key."""

    router: Router
    keys: dict[str, str]

    @property
    def console(self) -> str:
        return f"{self.router.url}/console/"

    def call(self, method: str, **body: Any) -> dict[str, Any]:
        response = httpx2.post(
            f"{self.router.url}/rheostat.v1.{method}", json=body, headers={"authorization": f"Bearer {self.keys['admin']}"}, timeout=60
        )
        assert response.status_code == 200, response.text
        return response.json()

    def planned(self) -> dict[str, Any]:
        """What would be bought for a question now."""
        query = {"messages": [{"content": "Calculate (7 + 2) + 9."}], "task": "TASK_MATH", "seed": "1", "knobs": {"exploration": 0}}
        return self.call("RouterService/PlanQuery", query=query)


@pytest.fixture(scope="module")
def chromium() -> str:
    """Its path; without one there is nothing to be set up for."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    return shutil.which("chromium") or pytest.skip("chromium is not installed")


@pytest.fixture(scope="module")
def site(chromium: str) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="rheostat-") as name, working(POOLS) as worker:
        folder = Path(name)
        (folder / "redis").mkdir()
        redis = RedisServer(folder / "redis")
        terms = TenantSettings(cache=False, exploration=0.2, per_day=5_000_000, requests_per_minute=600)
        settings = Settings(
            data=folder / "data",
            redis_url=redis.url,
            server=ServerSettings(address=f"127.0.0.1:{free_port()}", http=f"127.0.0.1:{free_port()}", drain_delay=0.0),
            worker=WorkerSettings(address=worker, pools=POOLS.pools),
            plans=PLANS,
            access=AccessSettings(keys=True),
            tenants={"default": terms, "quiet": TenantSettings()},
        )
        catalogue = {name: plan.plan(name) for name, plan in PLANS.items()}
        knobs = Knobs(value=8_000.0, exploration=0.4, max_stages=2)
        decided = list(Traffic(catalogue, questions(120), knobs).records(250))
        assert fill(settings.data, decided, copies=DECISIONS // 250) == DECISIONS
        keys = asyncio.run(keys_of(settings))
        router = Router(settings, folder)
        yield Site(router, keys)
        router.kill()
        redis.kill()


@pytest.fixture(scope="module")
def browser(chromium: str, site: Site) -> Iterator[Any]:
    """One for the tests of a module, each of which has a profile of its own in it. While it is there, no event loop can run in this thread."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may not be installed

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody with a key in the browser; what the page asked for, and what the browser complained of, is kept."""

    page: Any
    site: Site
    asked: list[tuple[str, str]] = field(default_factory=list)  # method and address
    complaints: list[str] = field(default_factory=list)

    def go(self, view: str, tenant: str = "default", **terms: str) -> None:
        """To a view, with its heading there."""
        words = "&".join(f"{name}={value}" for name, value in {"tenant": tenant, **terms}.items())
        self.page.goto(f"{self.site.console}#/{view}?{words}")
        self.page.wait_for_selector("main h1")

    def called(self, method: str) -> int:
        """How often."""
        return sum(address.endswith(method) for _, address in self.asked)


_WATCH = """
const key = %r;
if (key && !sessionStorage.getItem("rheostat-key") && !sessionStorage.getItem("left")) sessionStorage.setItem("rheostat-key", key);
window.shifts = [];
new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((one) => one.value))).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Any]:
    """Opens the console with the key of a role, or with none."""
    visitors: list[Visitor] = []

    def visit(role: str = "admin", **options: Any) -> Visitor:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        context.set_default_timeout(60_000)
        context.add_init_script(_WATCH % site.keys.get(role, ""))
        visitor = Visitor(context.new_page(), site)
        visitor.page.on("request", lambda request: visitor.asked.append((request.method, request.url)))
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        visitor.page.on("console", lambda told: visitor.complaints.append(told.text) if told.type in ("error", "warning") else None)
        visitors.append(visitor)
        return visitor

    yield visit
    for visitor in visitors:
        visitor.page.context.close()
        elsewhere = [address for _, address in visitor.asked if not address.startswith((site.router.url, "data:"))]
        assert not elsewhere, "nothing is asked of anybody else"
        assert not [told for told in visitor.complaints if "Failed to load resource" not in told]  # what was refused, which the tests look at


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's sources in a folder of their own, with what the lock file pins."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("console") / "page"
    shutil.copytree(PAGE, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
