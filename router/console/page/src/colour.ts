/** Which colour a plan has: the same in every view. */

import { store } from "./store";

const names = store<string[]>([]);
const COLOURS = 9;
const PLAIN: Record<string, string> = { stop: "var(--plain-1)", abstain: "var(--plain-3)", cached: "var(--plain-2)" };

/** Plans in the catalogue's order take the first colours. */
export function known(plans: string[]): void {
  const had = names.get();
  const fresh = plans.filter((one) => !had.includes(one));
  if (fresh.length) names.set([...had, ...fresh]);
}

export function colour(action: string): string {
  const plain = PLAIN[action];
  if (plain) return plain;
  if (!names.get().includes(action)) known([action]);
  return `var(--c${names.get().indexOf(action) % COLOURS})`;
}
