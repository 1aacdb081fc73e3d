/** What was learned and how true it is: versions, calibration, the honesty guard, and a candidate on its way. */

import { useRef, useState } from "preact/hooks";
import { type Refusal, call } from "../api";
import { asRefusal, useAsk, useNow } from "../asking";
import type { Fleet, Knobs, PromotionStanding, Standing, Summary } from "../contract";
import { ago, clock, count, counted, share } from "../format";
import { linear, path } from "../scale";
import type { Role } from "../session";
import { Allowed, Empty, Note, Panel, Trouble } from "../ui";

export function LearningView({ tenant, role }: { tenant: string; role: Role }) {
  const standing = useAsk<Standing>("OperationsService/GetStanding", { tenant }, 2_000);
  const summary = useAsk<Summary>("OperationsService/SummarizeDecisions", { tenant }, 10_000);
  const fleet = useAsk<Fleet>("OperationsService/GetFleet", {}, 5_000);
  return (
    <div class="grid">
      <Trouble error={standing.error} />
      <Panel title="What serves" class="half">
        <dl class="pairs">
          <dt>Predictor</dt>
          <dd><code>{fleet.data?.predictor ?? "–"}</code></dd>
          <dt>Policies</dt>
          <dd>{(fleet.data?.policies ?? []).map((one, index) => <span class="chip" key={one}>{one}{index === 0 && <small> default</small>}</span>)}</dd>
          <dt>Rheostat</dt>
          <dd>{fleet.data?.version ?? "–"}, since {ago(fleet.data?.startTime)}</dd>
        </dl>
      </Panel>
      <Guard guard={standing.data?.guard} />
      <Calibration bins={summary.data?.calibration} tenant={tenant} />
      <Promotion tenant={tenant} role={role} promotion={standing.data?.promotion} policies={fleet.data?.policies ?? []} again={standing.again} />
    </div>
  );
}

function Guard({ guard }: { guard: Standing["guard"] }) {
  const now = useNow();
  const tone = guard?.closed ? "bad" : guard?.verdict === "better" ? "good" : "";
  return (
    <Panel title="Honesty guard" class="half" about="Is routing better than the best constant plan on this tenant's traffic? Where it is not, that plan serves.">
      <div class={`guard ${tone}`}>
        <p class="big">{!guard?.enabled ? "Off" : guard.closed ? `Closed: ${guard.control} serves` : guard.verdict ? `Routing is ${guard.verdict}` : "Not reviewed yet"}</p>
        <p class="facts">{guard?.why || (guard?.enabled ? "The first review comes when the log is long enough." : "This tenant does without.")}</p>
        <p class="facts">{guard?.control && `control: ${guard.control} · `}{guard?.reviewTime ? `reviewed ${ago(guard.reviewTime, now)}` : " "}</p>
      </div>
    </Panel>
  );
}

const SIZE = 300;
const EDGE = 38;

function Calibration({ bins, tenant }: { bins: Summary["calibration"]; tenant: string }) {
  const at = linear([0, 1], [EDGE, SIZE - 10]);
  const up = linear([0, 1], [SIZE - EDGE, 10]);
  const drawn = bins ?? [];
  const most = Math.max(1, ...drawn.map((one) => one.answers ?? 0));
  const told = drawn.map((one) => `believed ${share(one.believed, 0)}, right ${share(one.observed?.value, 0)}`).join("; ");
  return (
    <Panel title="Calibration" class="half" about="Of the answers believed right with a chance, how many were? On the diagonal, beliefs are true.">
      {bins && !drawn.length ? (
        <Empty title="No answers were rated yet" command={`rheostat ask --tenant ${tenant} "What is 17 * 23?"`}>Report what answers are worth (<code>ReportOutcome</code>), and this fills.</Empty>
      ) : (
        <div class="calibration">
          <svg viewBox={`0 0 ${SIZE} ${SIZE}`} role="img" aria-label={`Calibration: ${told}`}>
            <g class="axes">
              {[0, 0.25, 0.5, 0.75, 1].map((tick) => (
                <g key={tick}>
                  <path d={`M${at(0)} ${up(tick)}H${at(1)}`} />
                  <text x={at(0) - 6} y={up(tick) + 3.5} text-anchor="end">{share(tick, 0)}</text>
                  <text x={at(tick)} y={SIZE - EDGE + 16} text-anchor="middle">{share(tick, 0)}</text>
                </g>
              ))}
              <path class="true" d={path([[at(0), up(0)], [at(1), up(1)]])} />
              <text class="name" x={at(1)} y={SIZE - 4} text-anchor="end">believed →</text>
              <text class="name" x={at(0) + 5} y={up(1) + 10}>↑ right</text>
            </g>
            <path class="curve" d={path(drawn.map((one) => [at(one.believed ?? 0), up(one.observed?.value ?? 0)]))} />
            {drawn.map((one) => (
              <g key={one.believed} class="bin">
                <path d={`M${at(one.believed ?? 0)} ${up(one.observed?.low ?? 0)}V${up(one.observed?.high ?? 0)}`} />
                <circle cx={at(one.believed ?? 0)} cy={up(one.observed?.value ?? 0)} r={2.5 + 5 * Math.sqrt((one.answers ?? 0) / most)} />
              </g>
            ))}
          </svg>
          <table>
            <thead><tr><th scope="col" class="n">Believed</th><th scope="col" class="n">Right</th><th scope="col" class="n">Answers</th></tr></thead>
            <tbody>
              {drawn.map((one) => (
                <tr key={one.believed}><td class="n">{share(one.believed, 0)}</td><td class="n">{share(one.observed?.value, 0)}</td><td class="n">{count(one.answers)}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

const WAY = ["shadow", "canary", "full", "adopted"];
const UNDER_WAY = ["shadow", "canary", "full"];

type Promoting = { tenant: string; role: Role; promotion: PromotionStanding | undefined; policies: string[]; again: () => void };

function Promotion({ tenant, role, promotion, policies, again }: Promoting) {
  const [error, fail] = useState<Refusal>();
  const dialog = useRef<HTMLDialogElement>(null);
  const under = UNDER_WAY.includes(promotion?.stage ?? "");
  const act = async (method: string, body: object) => {
    try {
      await call(`OperationsService/${method}`, { tenant, ...body });
      fail(undefined);
    } catch (caught) {
      fail(asRefusal(caught));
    }
    again();
  };
  return (
    <Panel title="Promotion" class="half" about="A candidate comes to serve by evidence alone: first on paper, then for a share of requests, then for all, under watch.">
      {promotion ? <Candidate promotion={promotion} /> : <p class="facts padded">No candidate is on its way.</p>}
      <Trouble error={error} />
      <Allowed when={role === "admin"} id="why-not-promote" why="Beginning and stopping takes an administrator's key.">
        {(under || promotion?.stage === "adopted") && (
          <div class="deeds">
            <button type="button" class="danger" disabled={role !== "admin"} onClick={() => dialog.current?.showModal()}>Take it back</button>
          </div>
        )}
        {!under && <Begin policies={policies} may={role === "admin"} begin={(body) => act("BeginPromotion", body)} />}
      </Allowed>
      <dialog ref={dialog} aria-labelledby="rollback">
        <h3 id="rollback">Take the candidate back?</h3>
        <p>What is configured decides again, within a second, on every router. What the log has seen of the candidate stays.</p>
        <div class="deeds">
          <button type="button" onClick={() => dialog.current?.close()}>Leave it</button>
          <button type="button" class="danger" onClick={() => (dialog.current?.close(), void act("StopPromotion", {}))}>Take it back</button>
        </div>
      </dialog>
    </Panel>
  );
}

function Candidate({ promotion }: { promotion: PromotionStanding }) {
  const at = WAY.indexOf(promotion.stage ?? "");
  const ended = at < 0;
  const knobs = Object.entries(promotion.knobs ?? {}).filter(([name, value]) => name !== "policy" && !Array.isArray(value)).map(([name, value]) => `${name}: ${value}`);
  return (
    <div class="candidate">
      <ol class="way" aria-label="The way to serving">
        {WAY.map((stage, index) => (
          <li key={stage} class={index < at ? "done" : index === at ? "here" : ""} aria-current={index === at ? "step" : undefined}>{stage}</li>
        ))}
      </ol>
      {ended && <Note tone="bad">It was {promotion.stage}.</Note>}
      <p class="facts">
        policy {promotion.policy || "the tenant's"} · predictor {promotion.predictor || "the one that serves"}{knobs.length ? ` · ${knobs.join(", ")}` : ""}{promotion.control ? ` · held to ${promotion.control}` : ""} · decides {share(promotion.share ?? 0, 0)} of requests
      </p>
      <ol class="events" aria-label={counted(promotion.events?.length, "step")}>
        {[...(promotion.events ?? [])].reverse().map((one, index) => (
          <li key={index}><time>{clock(one.eventTime)}</time> <b>{one.stage}</b> <span>{one.why}</span></li>
        ))}
      </ol>
    </div>
  );
}

function Begin({ policies, may, begin }: { policies: string[]; may: boolean; begin: (body: object) => void }) {
  const [policy, choose] = useState("");
  const [predictor, name] = useState("");
  const [explore, setExplore] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    const knobs: Knobs = { ...(policy ? { policy } : {}), ...(explore ? { exploration: Number(explore) / 100 } : {}) };
    begin({ knobs, predictor });
  };
  return (
    <form class="filters" onSubmit={submit}>
      <label>
        <span>Policy</span>
        <select value={policy} disabled={!may} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="">the tenant's</option>
          {policies.map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
      </label>
      <label>
        <span>Predictor's folder</span>
        <input type="text" value={predictor} disabled={!may} placeholder="the one that serves" pattern="[A-Za-z0-9][A-Za-z0-9._\-]*" maxLength={64} onInput={(event) => name(event.currentTarget.value)} />
      </label>
      <label>
        <span>Exploration, %</span>
        <input type="number" value={explore} disabled={!may} min="0" max="100" step="any" placeholder="the tenant's" onInput={(event) => setExplore(event.currentTarget.value)} />
      </label>
      <button type="submit" class="main" disabled={!may || !(policy || predictor || explore)}>Begin in the shadow</button>
    </form>
  );
}
