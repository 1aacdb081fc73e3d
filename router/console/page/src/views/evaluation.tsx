/** Quality against cost: the policy that serves, or another, beside what acted and the controls, by the tenant's log. */

import { useRef, useState } from "preact/hooks";
import { type Refusal, call } from "../api";
import { asRefusal, useAsk, useNow } from "../asking";
import type { Estimated, Evaluation, Fleet, PolicyEstimate } from "../contract";
import { ago, count, figures, money, share } from "../format";
import { around, linear, logarithmic } from "../scale";
import { Busy, Empty, Note, Panel, Told, Trouble } from "../ui";

type Judged = { data?: Evaluation; at: number; policy: string };
const kept = new Map<string, Judged>();

export const forgetEvaluations = (): void => kept.clear();

export function EvaluationView({ tenant }: { tenant: string }) {
  const fleet = useAsk<Fleet>("OperationsService/GetFleet", {});
  const [policy, choose] = useState(kept.get(tenant)?.policy ?? "");
  const [judged, set] = useState<Judged | undefined>(kept.get(tenant));
  const [error, fail] = useState<Refusal>();
  const [busy, work] = useState(false);
  const stop = useRef<AbortController>(undefined);
  const now = useNow();
  const ask = async () => {
    stop.current = new AbortController();
    work(true);
    fail(undefined);
    try {
      const data = await call<Evaluation>("RouterService/EvaluatePolicy", { tenant, ...(policy ? { knobs: { policy } } : {}) }, stop.current.signal);
      const found = { data, at: Date.now(), policy };
      kept.set(tenant, found);
      set(found);
    } catch (caught) {
      if (!stop.current.signal.aborted) fail(asRefusal(caught));
    }
    work(false);
  };
  return (
    <>
      <form class="filters" onSubmit={(event) => (event.preventDefault(), busy ? stop.current?.abort() : void ask())}>
        <label>
          <span>Judge</span>
          <select value={policy} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">the tenant's policy</option>
            {(fleet.data?.policies ?? []).map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
        <button type="submit" class={busy ? "" : "main"}>{busy ? "Stop" : "Judge by the log"}</button>
        {busy && <Busy>Predicting every logged step again. This takes seconds.</Busy>}
      </form>
      <Trouble error={error} />
      {judged?.data ? <Found found={judged.data} about={`${count(judged.data.decisions)} decisions, judged ${ago(judged.at, now)}, predicted by ${judged.data.predictor}`} /> : !busy && <Nothing />}
    </>
  );
}

function Nothing() {
  return (
    <Panel title="Not judged yet">
      <Empty title="Would another policy have earned more?" command="rheostat evaluate --policy candidate.yaml">
        The log says what any policy would have earned, since each choice was logged with its chance. Judge the one that serves here, or a candidate of your own from the command line.
      </Empty>
    </Panel>
  );
}

function Found({ found, about }: { found: Evaluation; about: string }) {
  const rows = found.estimates ?? [];
  const warnings = [...new Set(rows.flatMap((one) => one.warnings ?? []))];
  return (
    <>
      <Panel title={`${found.policy} beside the controls`} about={about} class="wide">
        <Forest rows={rows} />
      </Panel>
      <Panel title="In numbers" class="wide" about="Ahead: by how much more the judged policy is worth, in net, with its 95 % interval. Only an interval above zero is a win.">
        <div class="scroll" tabIndex={0} role="region" aria-label="Estimates in numbers">
          <table class="judged">
            <thead>
              <tr>
                <th scope="col">Policy</th>
                <th scope="col" class="n">Quality</th>
                <th scope="col" class="n">Cost per request</th>
                <th scope="col" class="n">Net worth</th>
                <th scope="col" class="n">The judged one is ahead by</th>
                <th scope="col" class="n">Effective decisions</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((one, index) => <Line key={one.name} one={one} ours={index === 0} />)}
            </tbody>
          </table>
        </div>
        {!!found.notJudged?.length && <Note>Of these constant plans the log can say nothing: {found.notJudged.join(", ")}.</Note>}
        {warnings.map((one) => <Note key={one} tone="warn">Mind: {one}.</Note>)}
      </Panel>
    </>
  );
}

function Line({ one, ours }: { one: PolicyEstimate; ours: boolean }) {
  if (one.refused)
    return (
      <tr class="unsure">
        <th scope="row">{one.name}</th>
        <td class="n">({share(one.modelledQuality)})</td>
        <td class="n">({money(one.modelledCostMicrodollars)})</td>
        <td class="n" colSpan={2}>{one.refused}</td>
        <td class="n">too few</td>
      </tr>
    );
  const ahead = one.aheadMicrodollars;
  const verdict = ahead && ((ahead.low ?? 0) > 0 ? "right" : (ahead.high ?? 0) < 0 ? "wrong" : "");
  return (
    <tr class={ours ? "chosen" : ""}>
      <th scope="row">{one.name}</th>
      <td class="n"><Told of={one.quality} as={share} /></td>
      <td class="n"><Told of={one.costMicrodollars} as={money} /></td>
      <td class="n"><Told of={one.netMicrodollars} as={money} /></td>
      <td class={`n ${verdict ?? ""}`}><Told of={ahead} as={money} none={ours ? "" : "cannot be told"} /></td>
      <td class="n">{figures(one.effectiveDecisions ?? 0)}</td>
    </tr>
  );
}

const ROW = 30;
const NAMES = 290;

/** Quality and cost of each, side by side, with intervals. */
function Forest({ rows }: { rows: PolicyEstimate[] }) {
  const known = rows.filter((one) => !one.refused && one.quality && one.costMicrodollars);
  if (!known.length) return <Note tone="warn">The log cannot tell of any of them.</Note>;
  const [width, height] = [1000, ROW * known.length + 34];
  const middle = NAMES + (width - NAMES) / 2;
  const quality = linear(around(known.flatMap((one) => [one.quality!.low ?? 0, one.quality!.high ?? 0]), 0.04, 0.01), [NAMES, middle - 24]);
  const costs = known.flatMap((one) => [one.costMicrodollars!.low ?? 0, one.costMicrodollars!.high ?? 0, one.costMicrodollars!.value ?? 0]).filter((one) => one > 0);
  const [low, high] = [Math.min(...costs), Math.max(...costs)];
  const cost = high / low > 8 ? logarithmic([low / 1.1, high * 1.1], [middle + 16, width - 16]) : linear(around(costs), [middle + 16, width - 16]);
  return (
    <svg class="forest" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={`Quality and cost: ${known.map((one) => `${one.name} ${share(one.quality!.value)} for ${money(one.costMicrodollars!.value)}`).join("; ")}`}>
      <text class="name" x={NAMES} y="12">quality</text>
      <text class="name" x={middle + 16} y="12">cost per request</text>
      {[{ scale: quality, told: (one: number) => share(one, 0) }, { scale: cost, told: money }].map(({ scale, told }, index) =>
        scale.ticks.filter((_, place) => scale.ticks.length < 7 || place % 2 === 0).map((tick) => (
          <g key={`${index} ${tick}`} class="axes">
            <path d={`M${scale(tick)} 20V${height - 16}`} />
            <text x={scale(tick)} y={height - 3} text-anchor="middle">{told(tick)}</text>
          </g>
        )),
      )}
      {known.map((one, index) => {
        const y = 20 + ROW * index + ROW / 2;
        return (
          <g key={one.name} class={index === 0 ? "ours" : ""}>
            <text x={NAMES - 14} y={y + 4} text-anchor="end">{one.name}</text>
            <Whisker of={one.quality!} at={quality} y={y} kind="quality" />
            <Whisker of={one.costMicrodollars!} at={cost} y={y} kind="cost" />
          </g>
        );
      })}
    </svg>
  );
}

function Whisker({ of, at, y, kind }: { of: Estimated; at: (value: number) => number; y: number; kind: string }) {
  return (
    <g class={`whisker ${kind}`}>
      <path d={`M${at(of.low ?? 0)} ${y}H${at(of.high ?? 0)}`} />
      <circle cx={at(of.value ?? 0)} cy={y} r="4.5" />
    </g>
  );
}
