/** The compute tree of one request: what was asked, each stage with its reasons, and every sample that was drawn. */

import { useEffect, useRef } from "preact/hooks";
import { useAsk } from "./asking";
import type { DecisionLine, DecisionPage, Explanation, Stage } from "./contract";
import { clock, count, counted, money, number, seconds, share } from "./format";
import { Busy, Copy, Dot, Legend, Parts, PlanName, Trouble } from "./ui";

const FATES = { kept: "var(--quality)", discarded: "var(--warn)", cancelled: "var(--bad)", read: "var(--plain-2)", scored: "var(--c3)" };
const SOURCES: Record<string, string> = { REWARD_SOURCE_VERIFIER: "a verifier", REWARD_SOURCE_USER: "the user", REWARD_SOURCE_JUDGE: "a judge", REWARD_SOURCE_UNIT_TEST: "the tests of a program" };

export function Tree({ tenant, id, close }: { tenant: string; id: string; close: () => void }) {
  const line = useAsk<DecisionPage>("OperationsService/ListDecisions", { tenant, search: id, pageSize: 1 }).data?.decisions?.[0];
  const { data, error, busy } = useAsk<Explanation>("RouterService/ExplainDecision", { decisionId: id, tenant });
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.focus();
    return () => before?.focus?.();
  }, [id]);
  return (
    <aside ref={ref} class="tree" tabIndex={-1} aria-label="How this answer came about" onKeyDown={(event) => event.key === "Escape" && close()}>
      <header>
        <h2>How it came about</h2>
        <button type="button" class="quiet" onClick={close} aria-label="Close (Escape)">✕</button>
      </header>
      <div class="body">
        <div class="root">
          <p class="prompt">{line && (line.prompt || <em>The prompt is not kept.</em>)}</p>
          <Facts line={line} />
        </div>
        {busy && !data && <Busy>Reading the log</Busy>}
        <Trouble error={error} />
        <ol class="branches">{(data?.stages ?? []).map((stage) => <Branch key={stage.index ?? 0} stage={stage} />)}</ol>
        <Rewards data={data} />
        <p class="ids">Decision</p>
        <Copy text={id} />
        {data?.traceId && <><p class="ids">Trace</p><Copy text={data.traceId} /></>}
      </div>
    </aside>
  );
}

function Facts({ line }: { line: DecisionLine | undefined }) {
  if (!line) return null;
  return (
    <p class="facts">
      {clock(line.decideTime)} · {line.task} · {money(line.costMicrodollars)} · {count(line.tokens)} tokens · {seconds(line.seconds ?? 0)}
      {line.arm && ` · decided by the ${line.arm}`}
    </p>
  );
}

function Branch({ stage }: { stage: Stage }) {
  const bought = stage.action === "ACTION_BUY";
  const title = bought ? <>Bought <PlanName of={stage.plan ?? ""} /></> : stage.action === "ACTION_STOP" ? "Stopped, with the answer in hand" : "Withheld the answer";
  return (
    <li class={bought ? "bought" : "end"}>
      <div class="card">
        <h3>
          <span class="index">{stage.index ?? 0}</span> {title}
        </h3>
        <p class="reason">{stage.reason}</p>
        <p class="facts">
          drawn with a chance of {share(stage.propensity ?? 0)}{stage.explored ? ", by exploration" : ""} · {stage.policy || "no policy"} · a right answer was worth {money(stage.valueMicrodollars)}
          {stage.arm ? ` · ${stage.arm}` : ""}
        </p>
        {stage.answer && <p class="hand">In hand: <b>{stage.answer}</b>, right with {share(stage.inHand ?? 0)}</p>}
        <Choices stage={stage} />
        {bought && <Purchase stage={stage} />}
      </div>
    </li>
  );
}

function Choices({ stage }: { stage: Stage }) {
  const choices = [...(stage.choices ?? [])].sort((a, b) => (b.score ?? 0) - (a.score ?? 0));
  if (!choices.length) return null;
  const chosen = stage.plan || { ACTION_STOP: "stop", ACTION_ABSTAIN: "abstain", ACTION_BUY: "" }[stage.action ?? "ACTION_BUY"];
  return (
    <details open={(stage.index ?? 0) === 0}>
      <summary>What {counted(choices.length, "choice")} were forecast to give</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Choices at stage ${stage.index ?? 0}`}>
        <table class="choices">
          <thead>
            <tr>
              <th scope="col">Choice</th>
              <th scope="col" class="bars">Right after it</th>
              <th scope="col" class="n">Cost</th>
              <th scope="col" class="n">Score</th>
              <th scope="col" class="n">Chance</th>
            </tr>
          </thead>
          <tbody>
            {choices.map((one) => (
              <tr key={one.name} class={one.name === chosen ? "chosen" : ""}>
                <th scope="row"><Dot of={one.name ?? ""} />{one.name}{one.name === chosen && <span class="hidden"> (chosen)</span>}</th>
                <td class="bars"><i class="gauge"><i style={{ width: `${100 * (one.success ?? 0)}%` }} /></i><span>{share(one.success ?? 0, 0)}</span></td>
                <td class="n">{one.costMicrodollars ? money(one.costMicrodollars) : "–"}</td>
                <td class="n">{money(one.score)}</td>
                <td class="n">{share(one.chance ?? 0)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function Purchase({ stage }: { stage: Stage }) {
  const { usage = {} } = stage;
  const parts = [
    { name: "kept", value: number(usage.keptTokens) },
    { name: "discarded", value: number(usage.discardedTokens) },
    { name: "cancelled", value: number(usage.cancelledTokens) },
    { name: "read", value: number(usage.promptTokens) },
    { name: "scored", value: number(usage.scoredTokens) },
  ].filter((one) => one.value).map((one) => ({ ...one, fill: FATES[one.name as keyof typeof FATES] }));
  return (
    <div class="purchase">
      <p class="facts">
        <b>{stage.outcomeAnswer || "no answer"}</b> · {money(usage.costMicrodollars)} · {seconds(usage.seconds ?? 0)} · {counted(usage.calls, "order")} · ended: {stage.stopReason || "not told"}
      </p>
      <Parts label="Tokens by fate" parts={parts} />
      <Legend names={parts.map((one) => `${one.name} ${count(one.value)}`)} fills={Object.fromEntries(parts.map((one) => [`${one.name} ${count(one.value)}`, one.fill]))} />
      <Samples stage={stage} />
    </div>
  );
}

function Samples({ stage }: { stage: Stage }) {
  const drawn = stage.candidates ?? [];
  const cancelled = number(stage.usage?.cancelledTokens);
  const longest = Math.max(1, ...drawn.map((one) => one.tokens ?? 0));
  if (!drawn.length && !cancelled) return null;
  return (
    <ul class="samples" aria-label={counted(drawn.length, "sample")}>
      {drawn.map((one, index) => {
        const gave = one.answer !== undefined && one.answer === stage.outcomeAnswer;
        return (
          <li key={index} class={one.answer === undefined ? "mute" : gave ? "gave" : "other"}>
            <b>{one.answer ?? "unreadable"}</b>
            <i class="gauge" title={counted(one.tokens, "token")}><i style={{ width: `${(100 * (one.tokens ?? 0)) / longest}%` }} /></i>
            <span class="n">{counted(one.tokens, "token")}</span>
            <span class="n">{one.score === undefined ? "" : `score ${one.score.toFixed(2)}`}</span>
            <small>{one.answer === undefined ? "no answer read" : gave ? "gave the answer" : "another answer"}</small>
          </li>
        );
      })}
      {cancelled > 0 && (
        <li class="cut">
          <b>cancelled</b>
          <i />
          <span class="n">{counted(cancelled, "token")}</span>
          <span />
          <small>stopped early, and charged</small>
        </li>
      )}
    </ul>
  );
}

function Rewards({ data }: { data: Explanation | undefined }) {
  if (!data) return null;
  const rewards = data.rewards ?? [];
  return (
    <div class="rewards">
      <h3>What it turned out to be worth</h3>
      {!rewards.length && <p class="facts">Nobody has said. ReportOutcome does, with this decision's id.</p>}
      <ul>
        {rewards.map((one, index) => (
          <li key={index}>
            <b class={(one.reward ?? 0) > 0.5 ? "right" : "wrong"}>{share(one.reward ?? 0, 0)}</b> said {SOURCES[one.source ?? ""] ?? "somebody"} {one.stage === undefined ? "of the answer given" : `of what stage ${one.stage} bought`}, {clock(one.reportTime)}
          </li>
        ))}
      </ul>
    </div>
  );
}
