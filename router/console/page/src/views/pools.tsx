/** What work is done on: pools, workers, how busy they are, and the plans they serve. */

import { useAsk, useNow } from "../asking";
import type { Fleet } from "../contract";
import { ago, count, counted, share } from "../format";
import { Empty, Panel, PlanName, Stat, Trouble } from "../ui";

export function PoolsView() {
  const { data, error } = useAsk<Fleet>("OperationsService/GetFleet", {}, 2_000);
  const now = useNow();
  return (
    <>
      <Trouble error={error} />
      <dl class="stats">
        <Stat name="Workers left out" value={data ? count(data.ejected) : "–"} under="for a while, as they failed" tone={data?.ejected ? "bad" : ""} />
        <Stat name="Second runs" value={data ? count(data.hedged) : "–"} under="begun as the first took long" />
        <Stat name="Runs made again" value={data ? count(data.retried) : "–"} under="elsewhere, after a failure" />
        <Stat name="This router" value={data?.version ?? "–"} under={data?.startTime ? `began ${ago(data.startTime, now)}` : ""} />
      </dl>
      <Panel title="Pools" class="wide" about="Load is of the samples that a pool can draw at once. A pool that is full counts its plans dearer, so that less is asked of it.">
        {data && !data.pools?.length ? (
          <Empty title="No pool is there" command="rheostat work">Start a worker, or name one in <code>worker.address</code>.</Empty>
        ) : (
          <div class="scroll" tabIndex={0} role="region" aria-label="Pools, as a table">
            <table>
              <thead>
                <tr>
                  <th scope="col">Pool</th>
                  <th scope="col">Model</th>
                  <th scope="col" class="n">Workers</th>
                  <th scope="col" class="bars">Load</th>
                  <th scope="col" class="n">Shadow price</th>
                </tr>
              </thead>
              <tbody>
                {(data?.pools ?? []).map((one) => (
                  <tr key={one.pool}>
                    <th scope="row">{one.pool}</th>
                    <td>{one.model}</td>
                    <td class={`n ${one.workers ? "" : "wrong"}`}>{one.workers ? count(one.workers) : "none"}</td>
                    <td class="bars">
                      {one.load === undefined ? <span>no limit</span> : <><i class={`gauge ${one.load >= 1 ? "full" : ""}`}><i style={{ width: `${Math.min(100, 100 * one.load)}%` }} /></i><span>{share(one.load, 0)}</span></>}
                    </td>
                    <td class="n">{one.shadowPrice ? `+${share(one.shadowPrice, 0)}` : "–"}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
      <Panel title="Plans" class="wide" about={`${counted(data?.plans?.length, "plan")}, ${count(data?.plans?.filter((one) => one.served).length)} of them served now`}>
        <div class="scroll" tabIndex={0} role="region" aria-label="Plans, as a table">
          <table>
            <thead>
              <tr>
                <th scope="col">Plan</th>
                <th scope="col">Pool</th>
                <th scope="col">Strategy</th>
                <th scope="col">Served</th>
              </tr>
            </thead>
            <tbody>
              {(data?.plans ?? []).map((one) => (
                <tr key={one.plan} class={one.served ? "" : "unsure"}>
                  <th scope="row"><PlanName of={one.plan ?? ""} /></th>
                  <td>{one.pool}</td>
                  <td>{one.strategy}</td>
                  <td class={one.served ? "right" : "wrong"}>{one.served ? "yes" : "no worker has it"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Panel>
    </>
  );
}
