/** The explorer: a tenant's latest decisions, searched, narrowed and ordered; one of them opens its compute tree. */

import { Component } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Refusal, call, link } from "../api";
import { asRefusal, useAsk } from "../asking";
import type { DecisionLine, DecisionPage, Fleet } from "../contract";
import { ago, clock, count, counted, money, seconds, share } from "../format";
import { route, turn } from "../route";
import { STATES } from "../states";
import { useStore } from "../store";
import { Tree } from "../tree";
import { Dot, Empty, Panel, Trouble } from "../ui";

const ROW = 44;
const HEAD = 30;
const BEYOND = 8; // rows drawn above and below what is seen
const PAGE = 500;
const ORDERS = [["", "latest first"], ["DECISION_ORDER_COST", "dearest first"], ["DECISION_ORDER_DIFFICULTY", "most difficult first"], ["DECISION_ORDER_CONFIDENCE", "least certain first"]] as const;

type Found = { rows: DecisionLine[]; total: number; error?: Refusal; busy: boolean };

/** Pages one after the other, as far as they are wanted; read anew for each number of `fresh`. */
function useDecisions(asked: object, fresh: number): Found & { want: (row: number) => void } {
  const name = JSON.stringify(asked);
  const { epoch } = useStore(link);
  const [state, set] = useState<Found>({ rows: [], total: 0, busy: true });
  const wanted = useRef(0);
  const pull = useRef(() => {});
  useEffect(() => {
    const stop = new AbortController();
    let rows: DecisionLine[] = [];
    let token: string | undefined = "";
    let busy = false;
    wanted.current = 0;
    pull.current = async () => {
      if (busy) return;
      busy = true;
      try {
        while (token !== undefined && rows.length <= wanted.current && !stop.signal.aborted) {
          const page: DecisionPage = await call("OperationsService/ListDecisions", { ...asked, pageSize: PAGE, pageToken: token }, stop.signal);
          rows = [...rows, ...(page.decisions ?? [])];
          token = page.nextPageToken || undefined;
          set({ rows, total: page.total ?? 0, busy: false });
        }
      } catch (caught) {
        if (!stop.signal.aborted) set((was) => ({ ...was, error: asRefusal(caught), busy: false }));
      }
      busy = false;
    };
    set((was) => ({ rows: was.rows, total: was.total, busy: true }));
    pull.current();
    return () => stop.abort();
  }, [name, fresh, epoch]);
  const want = useCallback((row: number) => {
    if (row > wanted.current) {
      wanted.current = row;
      pull.current();
    }
  }, []);
  return { ...state, want };
}

export function DecisionsView({ tenant }: { tenant: string }) {
  const { terms } = useStore(route);
  const [fresh, renew] = useState(0);
  const get = (name: string) => terms.get(name) ?? "";
  const narrowed = {
    tenant,
    search: get("q"),
    plan: get("plan"),
    ...(get("state") ? { state: get("state") } : {}),
    ...(get("wrong") ? { rewardAtMost: 0 } : {}),
    ...(get("order") ? { order: get("order") } : {}),
  };
  const found = useDecisions(narrowed, fresh);
  const open = get("id");
  const close = () => turn({ id: "" });
  return (
    <div class="explorer">
      <Filters tenant={tenant} get={get} />
      <Panel
        title="Decisions"
        about={found.busy && !found.rows.length ? "Reading the log …" : `${counted(found.total, "decision")} of the latest 20,000`}
        side={<Newer narrowed={narrowed} first={found.rows[0]?.decisionId} order={get("order")} renew={() => renew(fresh + 1)} />}
      >
        <Trouble error={found.error} />
        {!found.busy && !found.rows.length && !found.error ? <Nothing tenant={tenant} filtered={Object.keys(narrowed).length > 3 || !!narrowed.search || !!narrowed.plan} /> : <Rows found={found} open={open} />}
      </Panel>
      {open && <Tree tenant={tenant} id={open} key={open} close={close} />}
    </div>
  );
}

function Nothing({ tenant, filtered }: { tenant: string; filtered: boolean }) {
  if (filtered)
    return (
      <Empty title="No decision is like that">
        <button type="button" onClick={() => turn({ q: "", plan: "", state: "", wrong: "", order: "" })}>Show all</button>
      </Empty>
    );
  return (
    <Empty title="No decisions yet" command={`rheostat ask --tenant ${tenant} "What is 17 * 23?"`}>
      Each request leaves its reasons here. Ask one.
    </Empty>
  );
}

function Filters({ tenant, get }: { tenant: string; get: (name: string) => string }) {
  const fleet = useAsk<Fleet>("OperationsService/GetFleet", {});
  const [typed, type] = useState(get("q"));
  useEffect(() => type(get("q")), [get("q"), tenant]);
  useEffect(() => {
    const timer = setTimeout(() => typed !== get("q") && turn({ q: typed }), 250);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <label class="search">
        <span>Search</span>
        <input type="search" value={typed} placeholder="prompt, answer or id" onInput={(event) => type(event.currentTarget.value)} />
      </label>
      <label>
        <span>Plan</span>
        <select value={get("plan")} onChange={(event) => turn({ plan: event.currentTarget.value })}>
          <option value="">all</option>
          {(fleet.data?.plans ?? []).map((one) => <option key={one.plan} value={one.plan}>{one.plan}</option>)}
        </select>
      </label>
      <label>
        <span>Ending</span>
        <select value={get("state")} onChange={(event) => turn({ state: event.currentTarget.value })}>
          <option value="">all</option>
          {Object.entries(STATES).slice(1).map(([state, { name }]) => <option key={state} value={state}>{name}</option>)}
        </select>
      </label>
      <label>
        <span>Order</span>
        <select value={get("order")} onChange={(event) => turn({ order: event.currentTarget.value })}>
          {ORDERS.map(([order, name]) => <option key={order} value={order}>{name}</option>)}
        </select>
      </label>
      <label class="check">
        <input type="checkbox" checked={!!get("wrong")} onChange={(event) => turn({ wrong: event.currentTarget.checked ? "1" : "" })} />
        <span>wrong only</span>
      </label>
    </form>
  );
}

/** Says when there is more than what is shown, and moves nothing by itself. */
function Newer({ narrowed, first, order, renew }: { narrowed: object; first: string | undefined; order: string; renew: () => void }) {
  const newest = useAsk<DecisionPage>("OperationsService/ListDecisions", { ...narrowed, pageSize: 1 }, 5_000).data?.decisions?.[0]?.decisionId;
  const newer = !order && newest && first && newest !== first;
  return (
    <button type="button" class={newer ? "main" : "quiet"} onClick={renew}>
      {newer ? "There are newer ones" : "Read again"}
    </button>
  );
}

function Rows({ found, open }: { found: Found & { want: (row: number) => void }; open: string }) {
  const ref = useRef<HTMLDivElement>(null);
  const [seen, see] = useState({ top: 0, height: 600 });
  const [at, move] = useState(0);
  const first = Math.max(0, Math.floor(seen.top / ROW) - BEYOND);
  const last = Math.min(found.total, Math.ceil((seen.top + seen.height) / ROW) + BEYOND);
  useLayoutEffect(() => {
    const box = ref.current!;
    const look = () => see({ top: box.scrollTop, height: box.clientHeight - HEAD });
    const observer = new ResizeObserver(look);
    observer.observe(box);
    box.addEventListener("scroll", look, { passive: true });
    return () => (observer.disconnect(), box.removeEventListener("scroll", look));
  }, []);
  useEffect(() => found.want(last), [last, found.rows]);

  const go = (row: number) => {
    const next = Math.min(Math.max(0, row), found.total - 1);
    const box = ref.current!;
    move(next);
    if (next * ROW < box.scrollTop) box.scrollTop = next * ROW;
    else if ((next + 1) * ROW > box.scrollTop + box.clientHeight - HEAD) box.scrollTop = (next + 1) * ROW - box.clientHeight + HEAD;
  };
  const pick = useCallback((row: number, id: string) => (move(row), turn({ id })), []);
  const page = Math.max(1, Math.floor(seen.height / ROW) - 1);
  const steps: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: found.total - 1 };
  const onKey = (event: KeyboardEvent) => {
    const next = steps[event.key];
    if (next !== undefined) go(next);
    else if (event.key === "Enter") turn({ id: found.rows[at]?.decisionId ?? "" });
    else return;
    event.preventDefault();
  };
  const active = found.rows[at] ? `row-${at}` : undefined;
  return (
    <div ref={ref} class="list" role="grid" aria-label="Decisions" aria-rowcount={found.total + 1} tabIndex={0} aria-activedescendant={active} onKeyDown={onKey} data-loaded={found.rows.length} aria-busy={found.busy}>
      <div class="row head" role="row" aria-rowindex={1}>
        {["When", "Asked", "Bought", "Ended", "Answer", "Sure", "Difficult", "Cost", "Worth"].map((name) => <span role="columnheader" key={name}>{name}</span>)}
      </div>
      <div class="rows" role="rowgroup" style={{ height: `${found.total * ROW}px` }}>
          {Array.from({ length: Math.max(0, last - first) }, (_, index) => first + index).map((row) => (
            <Row key={row} row={row} line={found.rows[row]} active={row === at} open={found.rows[row]?.decisionId === open && !!open} pick={pick} />
          ))}
      </div>
    </div>
  );
}

type RowProps = { row: number; line: DecisionLine | undefined; active: boolean; open: boolean; pick: (row: number, id: string) => void };

/** Drawn again only where it is another: while one scrolls, most are not. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const { line, active, open } = this.props;
    return next.line !== line || next.active !== active || next.open !== open;
  }

  render(props: RowProps) {
    return drawn(props);
  }
}

function drawn({ row, line, active, open, pick }: RowProps) {
  const place = { transform: `translateY(${row * ROW}px)` };
  if (!line) return <div class="row ghostly" role="row" aria-rowindex={row + 2} style={place}><span role="gridcell">…</span></div>;
  const state = STATES[line.state ?? "DECISION_STATE_UNSPECIFIED"];
  return (
    <div id={`row-${row}`} class={`row ${active ? "active" : ""} ${open ? "open" : ""}`} role="row" aria-rowindex={row + 2} aria-selected={open} style={place} onClick={() => pick(row, line.decisionId)}>
      <span role="gridcell" title={clock(line.decideTime)}>{ago(line.decideTime)}</span>
      <span role="gridcell" class="text">{line.prompt || <em>not kept</em>}</span>
      <span role="gridcell" class="bought">{(line.plans ?? []).map((plan, index) => <i key={index} title={plan}><Dot of={plan} />{index === (line.plans?.length ?? 0) - 1 ? plan : ""}</i>)}</span>
      <span role="gridcell"><i class="dot" style={{ background: state.fill }} aria-hidden="true" />{state.name}</span>
      <span role="gridcell" class="text answer">{line.answer}</span>
      <span role="gridcell" class="n">{share(line.confidence ?? 0, 0)}</span>
      <span role="gridcell" class="n">{line.difficulty ? share(line.difficulty, 0) : "–"}</span>
      <span role="gridcell" class="n" title={seconds(line.seconds ?? 0)}>{money(line.costMicrodollars)}</span>
      <span role="gridcell" class={`n ${line.reward === undefined ? "" : line.reward > 0.5 ? "right" : "wrong"}`}>{line.reward === undefined ? "–" : line.reward === 1 ? "right" : line.reward === 0 ? "wrong" : count(100 * line.reward) + " %"}</span>
    </div>
  );
}
