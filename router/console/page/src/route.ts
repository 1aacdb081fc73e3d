/** Where in the console one is: `#/knob?tenant=acme`. */

import { store } from "./store";

export type Route = { view: string; terms: URLSearchParams };

function read(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: path || "live", terms: new URLSearchParams(query) };
}

export const route = store<Route>(read());
addEventListener("hashchange", () => route.set(read()));

export function address(view: string, terms: Record<string, string>): string {
  const kept = new URLSearchParams(Object.entries(terms).filter(([, value]) => value));
  return `#/${view}${kept.size ? `?${kept}` : ""}`;
}

/** Changes terms of this place; without a step in the history where that would be one for every letter. */
export function turn(changes: Record<string, string>, step = false): void {
  const { view, terms } = route.get();
  const next = address(view, { ...Object.fromEntries(terms), ...changes });
  if (step) location.hash = next;
  else {
    history.replaceState(null, "", next);
    route.set(read());
  }
}
