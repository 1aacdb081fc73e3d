/** What became of a request, in words and colours. */

import type { State } from "./contract";

export const STATES: Record<State, { name: string; fill: string }> = {
  DECISION_STATE_UNSPECIFIED: { name: "not told", fill: "var(--plain-3)" },
  DECISION_STATE_ANSWERED: { name: "answered", fill: "var(--quality)" },
  DECISION_STATE_CACHED: { name: "from the cache", fill: "var(--c3)" },
  DECISION_STATE_ABSTAINED: { name: "withheld", fill: "var(--warn)" },
  DECISION_STATE_PLANNED: { name: "planned", fill: "var(--c1)" },
  DECISION_STATE_OPEN: { name: "open", fill: "var(--plain-2)" },
};
