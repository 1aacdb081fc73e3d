/** What may be spent, what was, and the pace that keeps a tenant within its objective. */

import { useAsk, useNow } from "../asking";
import type { Standing, Tenant } from "../contract";
import { count, money, number, share, until } from "../format";
import { Empty, Panel, Stat, Trouble } from "../ui";

const UNITS: Record<string, (value: string | number | undefined) => string> = { microdollars: money };

const titled = (unit: string, window: string) => {
  const what = unit === "microdollars" ? "Money" : unit.replace(/^\w/, (letter) => letter.toUpperCase());
  return window === "cap" ? "The cap of its objective" : `${what} a ${window}`;
};

export function BudgetsView({ tenant }: { tenant: string }) {
  const { data, error } = useAsk<Standing>("OperationsService/GetStanding", { tenant }, 2_000);
  const terms = useAsk<{ tenant?: Tenant }>("TenantService/GetTenant", { name: tenant }, 10_000).data?.tenant;
  const now = useNow();
  const budgets = data?.budgets ?? [];
  const free = !!data && !budgets.some((one) => one.limit !== undefined);
  return (
    <>
      <Trouble error={error} />
      <Panel title="Budgets" class="wide" about="Spent and held in each window. What is held is the worst case of requests under way; the rest of it comes back.">
        <div class="meters">
          {budgets.map((one) => {
            const told = UNITS[one.unit ?? ""] ?? count;
            const window = (one.window ?? "").replace(/-.*/, "");
            const limit = one.limit === undefined ? undefined : number(one.limit);
            const [spent, held] = [number(one.spent), number(one.held)];
            const part = (value: number) => `${limit ? Math.min(100, (100 * value) / limit) : 0}%`;
            const full = limit !== undefined && spent + held >= limit;
            return (
              <div class={`meter ${full ? "full" : ""}`} key={`${one.window} ${one.unit}`}>
                <h3>{titled(one.unit ?? "", window)}</h3>
                <p class="big">{told(spent)} <small>{limit === undefined ? "no limit" : `of ${told(limit)}`}</small></p>
                <div class="bar" role="meter" aria-label={titled(one.unit ?? "", window)} aria-valuemin={0} aria-valuemax={limit ?? 0} aria-valuenow={Math.min(spent, limit ?? spent)} aria-valuetext={`${told(spent)} spent, ${told(held)} held, ${limit === undefined ? "no limit" : `of ${told(limit)}`}`}>
                  <i class="spent" style={{ width: part(spent) }} />
                  <i class="held" style={{ width: part(held) }} />
                </div>
                <p class="facts">{told(held)} held{one.resetTime ? ` · ${window === "cap" ? "begins anew" : `next ${window}`} ${until(one.resetTime, now)}` : ""}{full ? " · used up: what is asked now is refused" : ""}</p>
              </div>
            );
          })}
        </div>
        {free && (
          <Empty title="No budget is set" command={`rheostat tenants set ${tenant} per_day=1000000`}>
            Without one, nothing stops this tenant from spending. A budget is never passed, however many requests come at once.
          </Empty>
        )}
      </Panel>
      <Panel title="Pace" class="wide" about="Where an objective is a floor or a cap, the worth of a right answer is learned so that it is kept.">
        {data?.pace ? (
          <dl class="stats">
            <Stat name="A right answer is worth" value={money(data.pace.valueMicrodollars)} under="now, in every decision" />
            {terms?.capMicrodollars !== undefined && <Stat name="Of the cap" value={share(data.pace.spent ?? 0)} under={`${money(terms.capMicrodollars)} a window`} />}
            {terms?.floor !== undefined && <Stat name="Short of the floor" value={(data.pace.deficit ?? 0).toFixed(1)} under={`right answers; the floor is ${share(terms.floor)}`} />}
          </dl>
        ) : (
          <p class="facts padded">This tenant states what a right answer is worth{terms?.valueMicrodollars !== undefined ? `: ${money(terms.valueMicrodollars)}` : ""}. Turn the knob to change it.</p>
        )}
      </Panel>
    </>
  );
}
