/** The console: its frame, and which view is in it. */

import "uplot/dist/uPlot.min.css";
import "./style.css";
import { type ComponentType, render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Refusal, call, credentials, link, locked } from "./api";
import { asRefusal, forget, useAsk, useNow } from "./asking";
import { changes } from "./changing";
import { known } from "./colour";
import type { Fleet } from "./contract";
import { ago } from "./format";
import { forgetPreviews } from "./preview";
import { address, route } from "./route";
import { type Role, begin, leave, session } from "./session";
import { useStore } from "./store";
import { theme, turnTheme } from "./theme";
import { Copy, Panel } from "./ui";
import { BudgetsView } from "./views/budgets";
import { DecisionsView } from "./views/decisions";
import { EvaluationView, forgetEvaluations } from "./views/evaluation";
import { KnobView } from "./views/knob";
import { LearningView } from "./views/learning";
import { LiveView } from "./views/live";
import { PoolsView } from "./views/pools";

const VIEWS: { name: string; title: string; of: ComponentType<{ tenant: string; role: Role }> }[] = [
  { name: "live", title: "Live", of: LiveView },
  { name: "knob", title: "Knob", of: KnobView },
  { name: "decisions", title: "Decisions", of: DecisionsView },
  { name: "evaluation", title: "Quality against cost", of: EvaluationView },
  { name: "budgets", title: "Budgets", of: BudgetsView },
  { name: "learning", title: "Learning", of: LearningView },
  { name: "pools", title: "Pools", of: PoolsView },
];
const BEAT = 1_000;

function Console() {
  const { view, terms } = useStore(route);
  const { role, tenants } = useStore(session);
  const shut = useStore(locked);
  const { up } = useStore(link);
  const shown = VIEWS.find((one) => one.name === view) ?? VIEWS[0]!;
  const asked = terms.get("tenant") ?? "";
  const tenant = tenants.includes(asked) ? asked : tenants.includes("default") ? "default" : (tenants[0] ?? "");
  useEffect(() => {
    document.title = shut ? "Rheostat" : `${shown.title} · ${tenant || "Rheostat"}`;
  }, [shown.title, tenant, shut]);
  useBeginning();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) main.current?.focus();
    first.current = false;
    scrollTo(0, 0);
  }, [shown.name]);
  const inside = !shut && (role === "admin" || role === "operator");
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>To the content</a>
      <Top tenant={tenant} tenants={tenants} view={shown.name} role={role} inside={inside} />
      <nav aria-label="Views">{inside && VIEWS.map((one) => <a key={one.name} href={address(one.name, { tenant })} aria-current={one === shown ? "page" : undefined}>{one.title}</a>)}</nav>
      <main id="main" ref={main} tabIndex={-1} class={up ? "" : "stale"}>
        {shut ? <Gate /> : !inside ? <Outside role={role} /> : <View key={`${shown.name} ${tenant}`} title={shown.title} of={shown.of} tenant={tenant} role={role} />}
      </main>
      <Gone />
    </>
  );
}

function View({ title, of: Of, tenant, role }: { title: string; of: ComponentType<{ tenant: string; role: Role }>; tenant: string; role: Role }) {
  const fleet = useAsk<Fleet>("OperationsService/GetFleet", {});
  known((fleet.data?.plans ?? []).map((one) => one.plan ?? ""));
  return (
    <>
      <h1>{title}</h1>
      <Of tenant={tenant} role={role} />
    </>
  );
}

/** Finds out who looks on, and while nobody answers asks again. */
function useBeginning(): void {
  const { up, epoch } = useStore(link);
  const { role } = useStore(session);
  const shut = useStore(locked);
  useEffect(() => {
    if (role === "unknown" && !shut) void begin().catch(() => undefined);
  }, [role, shut, epoch]);
  useEffect(() => {
    if (up) return;
    const timer = setInterval(() => !document.hidden && void call("TenantService/GetTenant", {}).catch(() => undefined), BEAT);
    return () => clearInterval(timer);
  }, [up]);
}

function Top({ tenant, tenants, view, role, inside }: { tenant: string; tenants: string[]; view: string; role: Role; inside: boolean }) {
  const { chosen } = useStore(theme);
  const { up } = useStore(link);
  return (
    <header class="top">
      <a class="mark" href={address("live", { tenant })}>
        <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
          <circle cx="16" cy="16" r="11" fill="none" stroke="currentColor" stroke-width="3.5" stroke-dasharray="51.8 17.3" transform="rotate(135 16 16)" />
          <path d="M16 16 22.5 9.5" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" />
        </svg>
        Rheostat
      </a>
      {inside && (
        <label class="tenant">
          <span>Tenant</span>
          <select value={tenant} disabled={tenants.length < 2} onChange={(event) => (location.hash = address(view, { tenant: event.currentTarget.value }))}>
            {tenants.map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
      )}
      <span class="space" />
      <span class={`pulse ${up ? "up" : "down"}`}>{up ? "connected" : "not connected"}</span>
      {inside && credentials.get() && <span class="role">{role}</span>}
      <button type="button" class="quiet" onClick={turnTheme} aria-label={`Colours: ${chosen}. Change.`}>{{ system: "◐", light: "○", dark: "●" }[chosen]}<span class="word"> {chosen}</span></button>
      {credentials.get() && <button type="button" class="quiet" onClick={() => (forgetAll(), leave())}>Leave</button>}
    </header>
  );
}

/** What one was told must not be shown to the next. */
function forgetAll(): void {
  forget();
  forgetPreviews();
  forgetEvaluations();
  changes.set([]);
}

function Gate() {
  const [key, type] = useState("");
  const [error, fail] = useState<Refusal>();
  const enter = async (event: Event) => {
    event.preventDefault();
    forgetAll();
    credentials.set(key.trim());
    try {
      await begin();
    } catch (caught) {
      credentials.set("");
      fail(asRefusal(caught));
    }
  };
  return (
    <div class="gate">
      <Panel title="Who is it?" about="This service asks for credentials.">
        <form onSubmit={enter}>
          <label>
            <span>API key</span>
            <input type="password" autocomplete="off" spellcheck={false} autofocus value={key} onInput={(event) => type(event.currentTarget.value)} />
          </label>
          <button type="submit" class="main" disabled={!key.trim()}>Enter</button>
          {error && <p class="note bad" role="alert">{error.code === "unauthenticated" ? "This key is not accepted." : error.message}</p>}
          <p class="about">The key is kept for this tab only. Where there is none yet:</p>
          <Copy text="rheostat keys create --tenant default --role operator" />
        </form>
      </Panel>
    </div>
  );
}

function Outside({ role }: { role: Role }) {
  if (role === "unknown") return <p class="boot">Rheostat</p>;
  return (
    <div class="gate">
      <Panel title="Not with this key" about="It is a caller's: it may ask questions and report outcomes, and see what came of its own.">
        <p class="padded">The console shows a tenant's log and terms, which takes an operator's key, or an administrator's.</p>
        <div class="deeds"><button type="button" class="main" onClick={() => (forgetAll(), leave())}>Use another key</button></div>
      </Panel>
    </div>
  );
}

function Gone() {
  const { up, heard } = useStore(link);
  const now = useNow();
  return (
    <div class="gone" role="alert" hidden={up}>
      {!up && <><strong>The service does not answer.</strong> {heard ? `What is shown was told ${ago(heard, now)}.` : ""} It is asked again every second, and all goes on by itself.</>}
    </div>
  );
}

const place = document.getElementById("console")!;
place.replaceChildren();
render(<Console />, place);
