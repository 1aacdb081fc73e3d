/** What is being allocated now, and how it goes. */

import { useState } from "preact/hooks";
import { useAsk } from "../asking";
import { colour } from "../colour";
import type { Fleet, State, Summary } from "../contract";
import { clock, count, money, number, seconds, share } from "../format";
import { address } from "../route";
import { STATES } from "../states";
import { Timeline } from "../timeline";
import { Busy, Empty, Legend, Panel, Parts, PlanName, Stat, Told, Trouble, interval } from "../ui";

const WINDOWS = [500, 2_000, 20_000];

export function LiveView({ tenant }: { tenant: string }) {
  const [decisions, look] = useState(2_000);
  const { data, error } = useAsk<Summary>("OperationsService/SummarizeDecisions", { tenant, decisions }, 2_000);
  return (
    <>
      <div class="tabs" role="group" aria-label="How far back">
        {WINDOWS.map((one) => (
          <button type="button" key={one} aria-pressed={one === decisions} onClick={() => look(one)}>
            latest {count(one)}
          </button>
        ))}
      </div>
      <Trouble error={error} />
      {!data ? <Panel title="Reading the log">{!error && <Busy>The first look at a long log takes a second.</Busy>}</Panel> : data.decisions ? <Numbers data={data} tenant={tenant} /> : <Nothing tenant={tenant} />}
    </>
  );
}

function Nothing({ tenant }: { tenant: string }) {
  return (
    <Panel title="No decisions yet">
      <Empty title="This tenant has asked nothing so far" command={`rheostat ask --tenant ${tenant} "What is 17 * 23?"`}>
        Ask a question, and it is here within two seconds.
      </Empty>
    </Panel>
  );
}

function Numbers({ data, tenant }: { data: Summary; tenant: string }) {
  const offered = (useAsk<Fleet>("OperationsService/GetFleet", {}).data?.plans ?? []).map((one) => one.plan ?? "");
  const names = [...new Set([...offered, ...(data.plans ?? []).map((one) => one.plan ?? "")])];
  const periods = (data.periods ?? []).map((one) => ({ ...one, at: new Date(one.beginTime ?? 0).getTime() }));
  return (
    <div class="grid live">
      <dl class="stats">
        <Stat name="Decisions" value={count(data.decisions)} under={data.firstTime ? `since ${clock(data.firstTime)}` : ""} />
        <Stat name="Quality" tone="quality" value={data.quality ? share(data.quality.value) : "–"} under={data.quality ? `${interval(data.quality, share)}, ${count(data.rated)} rated` : "nobody has rated any"} />
        <Stat name="Cost per request" tone="cost" value={data.costMicrodollars ? money(data.costMicrodollars.value) : "–"} under={data.costMicrodollars && interval(data.costMicrodollars, money)} />
        <Stat name="Seconds, median" value={seconds(data.secondsMedian)} under={`95th percentile ${seconds(data.secondsP95)}`} />
      </dl>
      <Panel title="Quality over time" about="Mean reward of rated answers">
        <Timeline moments={periods.map(({ at, quality }) => ({ at, of: quality }))} as={(one) => share(one, 0)} tone="quality" label="Quality over time" floor={0} top={1} />
      </Panel>
      <Panel title="Cost over time" about="Mean micro-dollars of a request">
        <Timeline moments={periods.map(({ at, costMicrodollars }) => ({ at, of: costMicrodollars }))} as={money} tone="cost" label="Cost over time" floor={0} />
      </Panel>
      <ByPlan data={data} tenant={tenant} names={names} />
      <ByDifficulty data={data} names={[...names, "cached", "abstain"]} />
      <ByStage data={data} names={[...names, "stop", "abstain"]} />
      <Endings data={data} tenant={tenant} />
    </div>
  );
}

/** All plans, in the order of the catalogue, so that no row moves while one looks. */
function ByPlan({ data, tenant, names }: { data: Summary; tenant: string; names: string[] }) {
  const plans = names.map((plan) => data.plans?.find((one) => one.plan === plan) ?? { plan });
  const most = Math.max(1, ...plans.map((one) => one.decisions ?? 0));
  const spent = plans.reduce((sum, one) => sum + number(one.costMicrodollars), 0) || 1;
  return (
    <Panel title="By plan" about="How many decisions bought it, what came of it, and its share of what was spent" class="wide">
      <div class="scroll" tabIndex={0} role="region" aria-label="Allocation by plan">
        <table class="allocation">
          <thead>
            <tr>
              <th scope="col">Plan</th>
              <th scope="col" class="bars">Decisions</th>
              <th scope="col" class="n">Quality where it was last</th>
              <th scope="col" class="n">Spent</th>
              <th scope="col" class="n">Share</th>
            </tr>
          </thead>
          <tbody>
            {plans.map((one) => (
              <tr key={one.plan}>
                <th scope="row"><a href={address("decisions", { tenant, plan: one.plan ?? "" })}><PlanName of={one.plan ?? ""} /></a></th>
                <td class="bars"><Parts label={one.plan ?? ""} parts={[{ name: one.plan ?? "", value: one.decisions ?? 0 }, { name: "others", value: most - (one.decisions ?? 0), fill: "transparent" }]} /><span>{count(one.decisions)}</span></td>
                <td class="n"><Told of={one.quality} as={share} none="not rated" /></td>
                <td class="n">{money(one.costMicrodollars)}</td>
                <td class="n">{share(number(one.costMicrodollars) / spent, 0)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function ByDifficulty({ data, names }: { data: Summary; names: string[] }) {
  const bins = Array.from({ length: 10 }, (_, index) => (data.difficulties ?? []).find((one) => Math.round(10 * (one.low ?? 0)) === index));
  const most = Math.max(1, ...bins.map((one) => one?.decisions ?? 0));
  return (
    <Panel title="By difficulty" about="What was bought last, from the easiest forecast on the left to the most difficult" class="half">
      <div class="columns" role="img" aria-label={`Decisions by difficulty: ${bins.map((one, index) => `${index / 10}: ${one?.decisions ?? 0}`).join(", ")}`}>
        {bins.map((bin, index) => (
          <div key={index} class="column" title={bin ? `${share(bin.low, 0)} to ${share(bin.high, 0)}: ${count(bin.decisions)} decisions, ${money(bin.costMicrodollars)} each` : "none"}>
            <i class="pile" style={{ height: `${(100 * (bin?.decisions ?? 0)) / most}%` }}>
              {names.map((name) => {
                const value = bin?.last?.find((one) => one.action === name)?.decisions ?? 0;
                return <Slice key={name} name={name} part={value / (bin?.decisions || 1)} />;
              })}
            </i>
            <small class="q">{bin?.quality ? share(bin.quality.value, 0) : " "}</small>
            <small>{(index / 10).toFixed(1)}</small>
          </div>
        ))}
      </div>
      <p class="under">Above each: the quality of what was rated there.</p>
      <Legend names={names} />
    </Panel>
  );
}

const Slice = ({ name, part }: { name: string; part: number }) => <span style={{ height: `${100 * part}%`, background: colour(name) }} />;

function ByStage({ data, names }: { data: Summary; names: string[] }) {
  const stages = data.stages ?? [];
  return (
    <Panel title="By stage" about="Decide, look, decide again: what was done at each turn" class="half">
      <ol class="stages">
        {stages.map((one) => {
          const parts = names.map((name) => ({ name, value: one.actions?.find((action) => action.action === name)?.decisions ?? 0 }));
          return (
            <li key={one.stage}>
              <span>Stage {one.stage ?? 0}</span>
              <Parts tall label={`Stage ${one.stage ?? 0}`} parts={parts} />
              <span class="n">{count(parts.reduce((sum, part) => sum + part.value, 0))}</span>
            </li>
          );
        })}
      </ol>
      <Legend names={names} />
    </Panel>
  );
}

function Endings({ data, tenant }: { data: Summary; tenant: string }) {
  const states = (Object.keys(STATES) as State[]).slice(1).map((state) => ({ state, decisions: data.states?.find((one) => one.state === state)?.decisions }));
  const fills = Object.fromEntries(Object.values(STATES).map((one) => [one.name, one.fill]));
  const told = (state: State | undefined) => STATES[state ?? "DECISION_STATE_UNSPECIFIED"];
  return (
    <Panel title="Endings" about="What became of the requests" class="wide">
      <Parts tall label="Endings" parts={states.map((one) => ({ name: told(one.state).name, value: one.decisions ?? 0, fill: told(one.state).fill }))} />
      <ul class="endings">
        {states.map((one) => (
          <li key={one.state}>
            <a href={address("decisions", { tenant, state: one.state ?? "" })}><i class="dot" style={{ background: fills[told(one.state).name] }} aria-hidden="true" />{told(one.state).name}</a>
            <b>{count(one.decisions)}</b>
            <small>{share((one.decisions ?? 0) / (data.decisions || 1))}</small>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
