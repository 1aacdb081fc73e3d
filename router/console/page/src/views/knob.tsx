/** The knob: what quality, cost and time would be along its range, before anything changes; apply, and undo. */

import { useEffect, useMemo, useState } from "preact/hooks";
import type { Refusal } from "../api";
import { asRefusal, useAsk, useNow } from "../asking";
import { apply, changes, undo, untold } from "../changing";
import type { KnobName, Tenant } from "../contract";
import { type Foresight, KNOBS, type Knob, between, difference, foresight, foresights, inWords, stepAt, tidy, touched, valueAt } from "../curve";
import { ago, count, money, seconds, share } from "../format";
import { Frontier } from "../frontier";
import { Instrument } from "../instrument";
import { type Previewed, usePreview } from "../preview";
import { route, turn } from "../route";
import type { Role } from "../session";
import { useStore } from "../store";
import { Allowed, Busy, Empty, Note, Panel, Trouble, interval } from "../ui";

const BY = [500, 2_000, 10_000]; // decisions to judge by

export function KnobView({ tenant, role }: { tenant: string; role: Role }) {
  const { terms: query } = useStore(route);
  const knob = KNOBS.find((one) => one.name === query.get("knob")) ?? KNOBS[0]!;
  return (
    <>
      <div class="tabs" role="group" aria-label="Which knob">
        {KNOBS.map((one) => (
          <button type="button" key={one.name} aria-pressed={one === knob} onClick={() => turn({ knob: one.name })}>
            {one.title}
          </button>
        ))}
      </div>
      <Desk key={`${tenant} ${knob.name}`} tenant={tenant} role={role} knob={knob} />
    </>
  );
}

function Desk({ tenant, role, knob }: { tenant: string; role: Role; knob: Knob }) {
  const asked = useAsk<{ tenant?: Tenant }>("TenantService/GetTenant", { name: tenant }, 4_000);
  const { terms: query } = useStore(route);
  const decisions = Number(query.get("by")) || BY[0]!;
  const preview = usePreview(tenant, knob.name, decisions);
  const points = useMemo(() => foresights(preview.data), [preview.data]);
  const [mine, setMine] = useState<Tenant>();
  const terms = mine ?? asked.data?.tenant;
  useEffect(() => setMine(undefined), [asked.data]);
  const range: [number, number] = points.length ? [points[0]!.at, points.at(-1)!.at] : [0, 1];
  const now = terms?.[knob.term] ?? untold.get(`${tenant} ${knob.term}`) ?? preview.data?.now ?? 0;
  const [step, setStep] = useState<number>();
  const place = step ?? stepAt(now, range, knob.log);
  const at = step === undefined ? now : tidy(valueAt(step, range, knob.log), knob.log);

  if (!points.length) return <Waiting preview={preview} tenant={tenant} knob={knob.name} />;
  const here = between(points, now, knob.log)!;
  const there = between(points, at, knob.log)!;
  const drop = (changed: Tenant) => (setMine(changed), setStep(undefined), asked.again());
  return (
    <div class="knob">
      <Panel title={knob.asks} class="frontier" about={<Source preview={preview} />} side={<Ask preview={preview} decisions={decisions} />}>
        <Frontier points={points} now={here} thumb={there} logged={preview.data?.logged} constants={preview.data?.constants ?? []} />
      </Panel>
      <Panel title={`${knob.title}: drag it`} class="along">
        <Instrument knob={knob} points={points} range={range} step={place} now={here} thumb={there} onTurn={setStep} />
        <Trouble error={preview.error} />
      </Panel>
      <div class="reading">
        <Reading then={there} now={here} knob={knob} beaten={beating(there, preview)?.name} />
        <Deed {...{ tenant, role, knob, terms, at, now, turned: step !== undefined, drop }} />
      </div>
      <Beside preview={preview} />
    </div>
  );
}

function Waiting({ preview, tenant, knob }: { preview: Previewed; tenant: string; knob: KnobName }) {
  if (!preview.busy && (preview.error?.reason === "NO_SUPPORT" || !preview.error))
    return (
      <Panel title="Nothing to judge by yet">
        <Empty title="The log of this tenant holds too few rated decisions" command={`rheostat ask --tenant ${tenant} "What is 17 * 23?"`}>
          Ask questions, and report what the answers were worth (<code>ReportOutcome</code>). A hundred rated decisions give a first curve; exploration makes each of them say more.
        </Empty>
        {preview.error && <Note>{preview.error.message}</Note>}
        <p class="deeds">
          <button type="button" onClick={preview.again}>Look again</button>
        </p>
      </Panel>
    );
  return (
    <Panel title="Reading the log" class="waiting">
      {preview.busy && (
        <>
          <Busy>{preview.waiting ? "Another evaluation is under way; this one comes next." : `Predicting every logged step again along ${knob.replace("_", " ")}. This takes seconds.`}</Busy>
          <div class="ghost" aria-hidden="true" />
        </>
      )}
      <Trouble error={preview.error}>
        <p class="deeds">
          <button type="button" onClick={preview.again}>Try again</button>
        </p>
      </Trouble>
    </Panel>
  );
}

function Source({ preview }: { preview: Previewed }) {
  const now = useNow();
  return (
    <>
      By {count(preview.data?.decisions)} logged decisions, read {ago(preview.at, now)}. Bands are 95 % intervals.
    </>
  );
}

/** More decisions take longer, and say more. */
function Ask({ preview, decisions }: { preview: Previewed; decisions: number }) {
  return (
    <div class="ask">
      <label>
        by the latest
        <select value={decisions} onChange={(event) => turn({ by: event.currentTarget.value })}>
          {BY.map((one) => <option key={one} value={one}>{count(one)}</option>)}
        </select>
      </label>
      <button type="button" class="quiet" disabled={preview.busy} onClick={preview.again}>
        {preview.waiting ? "Waiting for its turn …" : preview.busy ? "Reading the log …" : "Read it again"}
      </button>
    </div>
  );
}

const signed = (value: number, told: string) => (value > 0 ? `+${told}` : told.replace("-", "−"));

function Reading({ then, now, knob, beaten }: { then: Foresight; now: Foresight; knob: Knob; beaten: string | undefined }) {
  const { quality, cost } = difference(then, now);
  const time = now.seconds?.value ? (then.seconds?.value ?? 0) / now.seconds.value - 1 : undefined;
  const same = then.at === now.at;
  const points = Math.abs(quality) < 0.0005 ? "" : `${signed(quality, (100 * quality).toFixed(1))} points`;
  const part = (value: number) => (Math.abs(value) < 0.005 ? "" : `${signed(value, (100 * value).toFixed(0))} %`);
  return (
    <section class="panel readout" aria-label="What would come of it">
      <p class="at">
        <span>{knob.title}</span>
        <output>{knob.told(then.at)}</output>
        <small>{same ? "where it is now" : `now ${knob.told(now.at)}`}</small>
      </p>
      <dl>
        <Line name="Quality" kind="quality" value={share(then.quality.value)} of={then.quality} as={(one) => share(one)} change={points} good={quality > 0} />
        <Line name="Cost per request" kind="cost" value={money(then.cost.value)} of={then.cost} as={money} change={part(cost)} good={cost < 0} />
        <Line name="Seconds of purchases" kind="time" value={seconds(then.seconds?.value)} of={then.seconds} as={seconds} change={time === undefined ? "" : part(time)} good={(time ?? 0) < 0} />
      </dl>
      <p class="verdict" aria-live="polite">{same ? "Drag the knob below, or use the arrow keys. Nothing changes until you apply it." : inWords(then, now)}</p>
      <Remarks then={then} beaten={beaten} />
    </section>
  );
}

function Line(props: { name: string; kind: string; value: string; of: Foresight["quality"] | undefined; as: (value: number) => string; change: string; good: boolean }) {
  const { of } = props;
  return (
    <div class={`line ${props.kind}`}>
      <dt>{props.name}</dt>
      <dd>
        <b>{props.value}</b>
        <span class={`change ${props.change ? (props.good ? "up" : "down") : ""}`}>{props.change}</span>
        <small>{of?.low === undefined && of?.high === undefined ? "no interval: by the model alone" : interval(of, props.as)}</small>
      </dd>
    </div>
  );
}

type Doing = { tenant: string; role: Role; knob: Knob; terms: Tenant | undefined; at: number; now: number; turned: boolean; drop: (terms: Tenant) => void };

function Deed({ tenant, role, knob, terms, at, now, turned, drop }: Doing) {
  const [error, fail] = useState<Refusal>();
  const [busy, work] = useState(false);
  const done = useStore(changes).filter((one) => one.tenant === tenant);
  const last = done.at(-1);
  const objective = knob.term === "valueMicrodollars" && terms && touched(terms, knob.term).length > 1;
  const may = role === "admin";
  const same = !objective && tidy(now, knob.log) === at;
  const act = async (deed: (tenant: Tenant) => Promise<Tenant>) => {
    if (!terms) return;
    work(true);
    try {
      drop(await deed(terms));
      fail(undefined);
    } catch (caught) {
      fail(asRefusal(caught));
      drop(terms);
    }
    work(false);
  };
  const put = (from: Tenant) => {
    if (from[knob.term] === undefined) untold.set(`${tenant} ${knob.term}`, now);
    return apply(from, { title: knob.title, terms: touched(from, knob.term), after: { [knob.term]: at }, from: objective ? "its objective" : knob.told(now), to: knob.told(at) });
  };
  return (
    <section class="panel deed" aria-label="Apply and undo">
      {objective && <Note>This tenant's objective is {terms.floor !== undefined ? `a floor of ${share(terms.floor)}` : `a cap of ${money(terms.capMicrodollars)} a window`}, by which the worth of an answer is set. Applying a worth takes its place.</Note>}
      <Allowed when={may} id="why-not-apply" why="Applying takes an administrator's key. All else here is yours to look at.">
        <div class="deeds">
          <button type="button" class="main" disabled={!may || busy || same || !turned || !terms} aria-describedby={may ? undefined : "why-not-apply"} onClick={() => act(put)}>
            {turned && !same ? `Apply ${knob.told(at)}` : "Apply"}
          </button>
          <button type="button" disabled={!may || busy || !last} onClick={() => act(undo)} title="Take the last change back">
            {last ? `Undo: ${last.from}` : "Undo"}
          </button>
        </div>
      </Allowed>
      <p class="happened" role="status">
        {last ? `${last.title}: ${last.from} became ${last.to}. In force within a second, on every router.` : " "}
      </p>
      <Trouble error={error} />
    </section>
  );
}

function Remarks({ then, beaten }: { then: Foresight; beaten: string | undefined }) {
  return (
    <div class="remarks">
      {beaten && <Note tone="warn">Mind: {beaten} is at least as good for less.</Note>}
      {then.refused && <Note tone="warn">The log holds too little of what would be done there: {then.refused}. What is shown is what the fitted model alone says, without any guarantee.</Note>}
      {then.warnings.map((one) => (
        <Note key={one} tone="warn">Mind: {one}.</Note>
      ))}
    </div>
  );
}

type Control = { mark: string; name: string; of: Foresight };

const controls = (preview: Previewed): Control[] => [
  ...(preview.data?.constants ?? []).map((one, index) => ({ mark: String.fromCharCode(65 + index), name: `always ${one.name}`, of: foresight(0, one) })),
  ...(preview.data?.logged ? [{ mark: "◆", name: "what the log's policies did", of: foresight(0, preview.data.logged) }] : []),
];

/** A control that is surely at least as good, for surely less. */
const beating = (then: Foresight, preview: Previewed): Control | undefined =>
  controls(preview).find(({ of }) => !of.refused && !then.refused && (of.quality.low ?? 0) >= (then.quality.value ?? 0) && (of.cost.high ?? 0) <= (then.cost.value ?? 0));

function Beside({ preview }: { preview: Previewed }) {
  const rows = controls(preview);
  return (
    <Panel title="Beside it" class="beside" about="Each plan bought whatever is asked, and what was done. A knob is worth its place if it lies above them.">
      <div class="scroll" tabIndex={0} role="region" aria-label="The controls">
        <table>
          <thead>
            <tr>
              <th scope="col"><span class="hidden">Mark in the plot</span></th>
              <th scope="col">Control</th>
              <th scope="col" class="n">Quality</th>
              <th scope="col" class="n">Cost per request</th>
              <th scope="col" class="n">Seconds</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ mark, name, of }) => (
              <tr key={name} class={of.refused ? "unsure" : ""}>
                <td><span class="mark">{mark}</span></td>
                <th scope="row">{name}</th>
                {of.refused ? (
                  <td class="n" colSpan={3} title={of.refused}>the log cannot tell</td>
                ) : (
                  <>
                    <td class="n"><b>{share(of.quality.value)}</b> <small>{interval(of.quality, share)}</small></td>
                    <td class="n"><b>{money(of.cost.value)}</b> <small>{interval(of.cost, money)}</small></td>
                    <td class="n"><b>{seconds(of.seconds?.value)}</b></td>
                  </>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
