/** A knob on paper: asked once for its whole range, and kept. */

import { useEffect, useState } from "preact/hooks";
import { asRefusal } from "./asking";
import { type Refusal, call, link } from "./api";
import type { KnobName, Preview } from "./contract";
import { useStore } from "./store";

export type Previewed = { data?: Preview; at?: number; error?: Refusal; busy: boolean; waiting: boolean; again: () => void };

const kept = new Map<string, { data: Preview; at: number; decisions: number }>();
const AGAIN = 1_000;

export const forgetPreviews = (): void => kept.clear();

const pause = (time: number, signal: AbortSignal) =>
  new Promise<void>((done) => {
    const timer = setTimeout(done, time);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });

/** The whole range, by the latest of the log. While another evaluation is under way it waits for that, and tries again. */
export function usePreview(tenant: string, knob: KnobName, decisions: number): Previewed {
  const name = `${tenant}/${knob}`;
  const { epoch } = useStore(link);
  const [turn, setTurn] = useState(0);
  const [state, set] = useState<{ name: string; error?: Refusal; busy: boolean; waiting: boolean }>({ name, busy: !kept.has(name), waiting: false });

  useEffect(() => {
    if (kept.get(name)?.decisions === decisions && !turn) return set({ name, busy: false, waiting: false });
    const stop = new AbortController();
    const ask = async () => {
      set({ name, busy: true, waiting: false });
      while (!stop.signal.aborted)
        try {
          const data = await call<Preview>("RouterService/PreviewKnob", { tenant, knob, decisions }, stop.signal);
          kept.set(name, { data, at: Date.now(), decisions });
          return set({ name, busy: false, waiting: false });
        } catch (caught) {
          const error = asRefusal(caught);
          if (stop.signal.aborted) return;
          if (error.reason !== "OVERLOADED") return set({ name, error, busy: false, waiting: false });
          set({ name, busy: true, waiting: true });
          await pause(AGAIN, stop.signal);
        }
    };
    void ask();
    return () => stop.abort();
  }, [name, decisions, turn, epoch]);

  const last = kept.get(name);
  const mine = state.name === name;
  return {
    data: last?.data,
    at: last?.at,
    error: mine ? state.error : undefined,
    busy: mine ? state.busy : !last,
    waiting: mine && state.waiting,
    again: () => setTurn((count) => count + 1),
  };
}
