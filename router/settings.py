"""Settings: environment (`RHEOSTAT_`), then the YAML file that `RHEOSTAT_CONFIG` names, then defaults that need nothing configured."""

import os
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from router.access.settings import AccessSettings, TlsSettings, exposed
from router.cache.section import CacheSettings
from router.openai.profiles import OWN, KnobSettings, usual_profiles
from router.section import Section
from router.tenants import Unit
from router.terms import BudgetSettings, TenantSettings, unknown_names
from router.types import Budget, Plan, Price
from workers.discovery import is_place

MODELS = Path(__file__).parent.parent / "workers" / "reasoner" / "models"


class Choice(Section):
    """A plug-in by name, with its options."""

    name: str
    """Its name, as `rheostat plugins` lists it."""
    options: dict[str, object] = Field(default_factory=dict)
    """Its options by name; those that are left out have its own defaults."""


class SandboxSettings(Section):
    """Where programs that a model wrote are run: a process of its own, without network, other processes or files of ours."""

    seconds: float = Field(5.0, gt=0, le=60)
    """Processor time, and about as much wall time, of one program."""
    megabytes: int = Field(512, ge=64)
    """Memory of one program."""


class PoolSettings(Section):
    """One model to sample from, and what judges what it writes."""

    backend: Choice
    verifier: Choice | None = None
    sandbox: SandboxSettings | None = None
    """None: programs are not run, and strategies that need it are refused."""
    joules_per_token: float = Field(0.0, ge=0)
    """Estimate: the power the machine draws at work divided by the tokens per second it handles."""
    gpus: tuple[int, ...] = ()
    """Numbers of the GPUs that it runs on, whose meters then say what it took instead of the estimate."""
    model: str = ""
    """Name for telemetry."""
    slots: int | None = Field(None, gt=0)
    """Samples drawn at once; more wait, in fair shares between tenants. None: as many as are asked for, and no queue to price."""
    queue: int = Field(4_096, ge=0)
    """Samples that may wait; more are refused."""


class PlanSettings(Section):
    """One plan of the catalogue."""

    pool: str
    """The pool that runs it."""
    strategy: str
    """What is done there, as `rheostat strategies` lists it."""
    options: dict[str, object] = Field(default_factory=dict)
    """The strategy's options."""
    tokens: int | None = Field(None, gt=0)
    """Ceiling on the tokens of one execution."""
    samples: int | None = Field(None, gt=0)
    """Ceiling on the samples of one execution."""
    calls: int | None = Field(None, gt=0)
    """Ceiling on samples, scorings and program runs together."""
    seconds: float | None = Field(None, gt=0)
    """Ceiling on the wall time of one execution."""
    cost: int = Field(gt=0)
    """Ceiling on the micro-dollars of one execution: what is held before it starts."""
    price: tuple[float, float, float]
    """Micro-dollars per token read, written and scored."""
    helpers: dict[str, tuple[float, float, float]] = Field(default_factory=dict)
    """Other pools that the strategy may sample from, with their prices."""

    def plan(self, name: str) -> Plan:
        """As the router's noun."""
        return Plan(
            id=name,
            pool=self.pool,
            strategy=self.strategy,
            options=MappingProxyType(self.options),
            budget=Budget(tokens=self.tokens, cost=self.cost, samples=self.samples, calls=self.calls, seconds=self.seconds),
            price=_price(self.price),
            helpers=MappingProxyType({pool: _price(price) for pool, price in self.helpers.items()}),
        )


def _price(price: tuple[float, float, float]) -> Price:
    prompt, completion, scored = price
    return Price(prompt=prompt, completion=completion, scored=scored)


def bundled_model(name: str) -> Path:
    """Folder of a bundled model."""
    return MODELS / name


def _embedded(model: str, verifier: Choice | None = None, sandbox: SandboxSettings | None = None) -> PoolSettings:
    return PoolSettings(
        backend=Choice(name="embedded", options={"directory": str(bundled_model(model))}),
        verifier=verifier,
        sandbox=sandbox,
        joules_per_token={"nano": 0.002, "small": 0.005, "large": 0.015}[model],
        model=f"rheostat-{model}",
        slots=64,  # of its engine
    )


def _bundled_pools() -> dict[str, PoolSettings]:
    reward = {"name": "reward", "options": {"directory": str(bundled_model("prm"))}}
    return {
        "nano": _embedded("nano"),
        "small": _embedded("small", Choice(name="calculator", options={"then": reward})),
        "large": _embedded("large", Choice(name="calculator")),  # the reward model, no larger than `large`, does not see what `large` gets wrong
    }


# Dollars per million tokens in proportion to the parameters of each model (0.9 million and 6.6; the reward model as the latter), half a dollar for a
# million of them; reading at a quarter of writing, scoring as reading.
_SMALL, _LARGE = (0.11, 0.45, 0.8), (0.8, 3.3, 0.8)  # nano is as large as small


def _bundled_plans() -> dict[str, PlanSettings]:
    solve: dict[str, object] = {"skill": "solve"}
    return {
        "nano-direct": PlanSettings(pool="nano", strategy="direct", tokens=1_000, cost=200, price=_SMALL),
        "small-solve": PlanSettings(pool="small", strategy="direct", options=solve, tokens=2_000, cost=1_000, price=_SMALL),
        "small-vote": PlanSettings(pool="small", strategy="self_consistency", options={"n": 16}, tokens=12_000, cost=6_000, price=_SMALL),
        "small-best": PlanSettings(
            pool="small", strategy="best_of_n", options={"n": 16, "select": "weighted"}, tokens=20_000, cost=15_000, price=_SMALL
        ),
        "large-solve": PlanSettings(pool="large", strategy="direct", options={**solve, "judge": True}, tokens=2_000, cost=3_000, price=_LARGE),
        "large-best": PlanSettings(
            pool="large", strategy="best_of_n", options={"n": 8, "select": "weighted"}, tokens=8_000, cost=12_000, price=_LARGE
        ),
        "large-tree": PlanSettings(pool="large", strategy="beam", options={"beams": 4, "children": 4}, tokens=120_000, cost=120_000, price=_LARGE),
    }


class CandidateSettings(Section):
    """What is to be judged on a log before it serves, as a file says it; what is left out is as the service has it for the tenant."""

    policy: Choice | None = None
    predictor: Path | None = None
    """Folder that `rheostat retrain` has written."""
    knobs: dict[str, object] = Field(default_factory=dict)
    """By the names that a tenant has them by."""


class WorkerSettings(Section):
    """Where plans are run."""

    address: str = ""
    """Where workers are, separated by commas: `host:port` or `unix:/path`; `dns:///name:port`, every address that the name has, looked up again and
    again; `ray://host:8265`, the pools on Ray whose dashboard this is. Empty: one worker is started, on a Unix socket."""
    threads: int = Field(default_factory=lambda: max(1, (os.cpu_count() or 2) // 2), gt=0)
    """CPU threads of each bundled model."""
    pools: dict[str, PoolSettings] = Field(default_factory=_bundled_pools)

    @field_validator("address")
    @classmethod
    def _places_are_in_order(cls, address: str) -> str:
        if wrong := [place for place in _listed(address) if not is_place(place)]:
            raise ValueError(f"{wrong[0]!r} is none of host:port, unix:/path, dns:///name:port, ray://host:port")
        return address

    @property
    def places(self) -> tuple[str, ...]:
        """Each of them."""
        return _listed(self.address)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


class SecondSettings(Section):
    """A dearer encoder, consulted only where the first decision is close."""

    encoder: Choice
    predictor: Choice
    """One that was fitted on the features of both encoders together."""
    close: float = Field(0.02, ge=0, le=1)
    """Share of a right answer's worth under which the two best choices are close."""


class ServerSettings(Section):
    """The public door."""

    address: str = "127.0.0.1:50051"
    """Where clients come in over gRPC: `host:port`, port 0 for any that is free, or `unix:/path`."""
    http: str = Field("", pattern=r"^$|^.+:\d+$")
    """`host:port` of the door for OpenAI's clients; empty: there is none."""
    processes: int = Field(1, gt=0)
    """Router processes behind this address (SO_REUSEPORT), each on a core of its own. SIGHUP renews them one after the other."""
    reuse_port: bool = False
    """Whether other processes may serve the same address."""
    private: str = ""
    """A second address for whoever watches over the process, such as unix:/path."""
    drain_delay: float = Field(0.5, ge=0)
    """Seconds between saying that it ends and refusing calls."""
    tls: TlsSettings | None = None
    """None: plain text."""
    grace: float = Field(20.0, ge=0)
    """Seconds running calls may still take."""
    permits: int = Field(256, gt=0)
    """Answers under way at once; more wait."""
    queue: int = Field(256, ge=0)
    """Answers that may wait for a permit; more are refused."""
    max_deadline: float = Field(120.0, gt=0)
    """Seconds, the longest any call may take."""


class JournalSettings(Section):
    """The decision log."""

    name: str = Field("journal", pattern=r"^journal[\w.-]*$")
    """Folder, in the data folder; each router of a data folder needs its own."""
    rotate_rows: int = Field(5_000, gt=0)
    """Rows after which a Parquet file is written."""
    rotate_seconds: float = Field(60.0, gt=0)
    """Seconds after which a Parquet file is written, if it has any row."""


class TelemetrySettings(Section):
    """Where metrics can be had, beside the OTLP that OpenTelemetry's own variables ask for."""

    prometheus: str = Field("", pattern=r"^$|^.*:\d+$")
    """`host:port` to be scraped at; empty: nowhere."""


class LearningSettings(Section):
    """What policies that learn online (`linucb`, `thompson`, `epsilon`) make of outcomes."""

    half_life: float = Field(14.0, gt=0)
    """Days after which an outcome counts half."""
    most: float = Field(500.0, gt=0)
    """Outcomes of a plan that one tenant's word is worth to the others, and all others' together to one."""
    seconds: float = Field(1.0, gt=0)
    """Between two looks at what has come in."""


class PromotionSettings(Section):
    """How candidates come to serve, and how often it is asked whether routing is better than its control."""

    seconds: float = Field(300.0, gt=0)
    """Between reviews."""
    share: float = Field(0.1, gt=0, le=0.3)
    """Of a tenant's requests that go to the candidate, and as many to the control, in a canary."""
    least: int = Field(200, ge=30)
    """Rated decisions before anything is concluded."""
    most: int = Field(20_000, ge=100)
    """Rated decisions of the candidate after which a canary that has shown nothing ends, and a promotion is complete."""
    margin: float = Field(0.02, ge=0, le=1)
    """Share of a right answer's worth: where routing is surely ahead of its control by no more, it is no better."""


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        env_prefix="RHEOSTAT_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
        use_attribute_docstrings=True,
    )

    config: Path | None = None
    """YAML file with any of these settings."""
    data: Path = Path("rheostat-data")
    """Folder of the log, the state of our own Redis, and retrained predictors."""
    redis_url: str | None = None
    """Redis to use; none: one is started, kept in the data folder."""
    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    journal: JournalSettings = JournalSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    learning: LearningSettings = LearningSettings()
    promotion: PromotionSettings = PromotionSettings()
    plans: dict[str, PlanSettings] = Field(default_factory=_bundled_plans)
    encoder: Choice = Choice(name="static")
    predictor: Choice = Choice(name="learned")
    """`rheostat retrain` writes to the data folder's `predictor`, which is preferred to the bundled one once it is there."""
    second: SecondSettings | None = None
    policies: dict[str, Choice] = Field(
        default_factory=lambda: {"allocator": Choice(name="allocator"), "threshold": Choice(name="threshold"), "fixed": Choice(name="fixed")}
    )
    """The first is the default."""
    fleet: BudgetSettings = BudgetSettings()
    """What all tenants together may spend, and ask."""
    tenants: dict[str, TenantSettings] = Field(default_factory=lambda: {"default": TenantSettings()})
    cache: CacheSettings = CacheSettings()
    profiles: dict[str, KnobSettings] = Field(default_factory=usual_profiles)
    """Knobs under names, which are asked for as models at the HTTP door."""

    @model_validator(mode="after")
    def _names_are_known(self) -> "Settings":
        if taken := {"stop", "abstain"} & set(self.plans):
            raise ValueError(f"no plan may be called {', '.join(sorted(taken))}: it is the name of a choice")
        for name, plan in self.plans.items():
            for pool in (plan.pool, *plan.helpers):
                if pool not in self.worker.pools:
                    raise ValueError(f"plan {name}: no pool {pool!r}; there are {', '.join(self.worker.pools)}")
        endless = [name for name, plan in self.plans.items() if plan.tokens is None]
        if endless and any(window.unit is Unit.TOKENS for window in self.fleet.windows):
            raise ValueError(f"fleet has a budget in tokens, so these plans need `tokens`, a ceiling of their own: {', '.join(endless)}")
        for name, tenant in self.tenants.items():
            for _, told in unknown_names(tenant, self.plans, self.policies):
                raise ValueError(f"tenant {name}: {told}")
        return self

    @model_validator(mode="after")
    def _profiles_are_known(self) -> "Settings":
        if taken := {OWN, *self.plans} & set(self.profiles):
            raise ValueError(f"no profile may be called {', '.join(sorted(taken))}: it is the name of another model")
        for name, profile in self.profiles.items():
            for _, told in unknown_names(profile, self.plans, self.policies):
                raise ValueError(f"profile {name}: {told}")
        return self

    @model_validator(mode="after")
    def _certificates_are_asked_for(self) -> "Settings":
        if self.access.mtls and not (self.server.tls and self.server.tls.client_ca):
            raise ValueError("access.mtls: name server.tls with a client_ca, or nobody will be asked for a certificate")
        return self

    def served(self) -> "Settings":
        """These, fit to be served. Raises ValueError where others than this machine could do everything, and nobody said that this is wanted."""
        for name, address in (("server.address", self.server.address), ("server.http", self.server.http)):
            if address and exposed(address) and not (self.access.asked_for or self.access.open):
                raise ValueError(
                    f"{name} {address} can be reached from elsewhere, and anyone could spend every tenant's budget: "
                    "set access.keys, access.jwt or access.mtls, or listen on 127.0.0.1, or, if that is really wanted, say access.open: true"
                )
        if self.server.http and self.access.mtls and not (self.access.keys or self.access.jwt):
            raise ValueError("server.http knows callers by keys and tokens only: set access.keys or access.jwt, or leave server.http empty")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, the YAML file, defaults."""
        given = init_settings().get("config") or os.environ.get("RHEOSTAT_CONFIG")
        if given and not Path(given).is_file():
            raise FileNotFoundError(f"RHEOSTAT_CONFIG: there is no file {given}")
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=given)

    @property
    def predictor_directory(self) -> Path:
        """Where `rheostat retrain` writes."""
        return self.data / "predictor"


def candidate(file: Path | None) -> CandidateSettings:
    """What a YAML file asks to have judged; nothing else than what serves, without one. Raises ValueError naming what is not in order."""
    found = yaml.safe_load(file.read_text()) if file else {}
    return CandidateSettings(**(found or {}))
