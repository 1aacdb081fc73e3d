/** Answers of the service that a component shows: asked once, again and again, or when it came back. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Refusal, call, link } from "./api";
import { useStore } from "./store";

export type Asked<T> = { data: T | undefined; error: Refusal | undefined; busy: boolean; again: () => void };

const kept = new Map<string, unknown>();
const MOST_KEPT = 40;

function keep(name: string, data: unknown): void {
  kept.delete(name);
  kept.set(name, data);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value!);
}

/** What was told before may be another's. */
export const forget = (): void => kept.clear();

export const asRefusal = (error: unknown): Refusal => (error instanceof Refusal ? error : new Refusal("internal", "", String(error)));

/** The answer to a call; the last one stays until the next is there. `every` milliseconds it is asked again, but not while the page is hidden. */
export function useAsk<T>(method: string, body: object, every = 0): Asked<T> {
  const name = `${method} ${JSON.stringify(body)}`;
  const { epoch } = useStore(link);
  const [state, set] = useState<{ name: string; data?: T; error?: Refusal; busy: boolean }>({ name, data: kept.get(name) as T, busy: true });
  const [turn, setTurn] = useState(0);
  const last = useRef<T | undefined>(state.data);

  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const ask = async () => {
      clearTimeout(timer);
      if (document.hidden && every) return;
      try {
        const data = await call<T>(method, body, stop.signal);
        keep(name, data);
        last.current = data;
        set({ name, data, busy: false });
      } catch (error) {
        if (stop.signal.aborted) return;
        set((was) => ({ name, data: was.data, error: asRefusal(error), busy: false }));
      }
      if (every && !stop.signal.aborted) timer = setTimeout(ask, every);
    };
    const seen = () => void (!document.hidden && every && ask());
    set((was) => ({ name, data: (kept.get(name) as T) ?? was.data, busy: true }));
    document.addEventListener("visibilitychange", seen);
    void ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [name, every, turn, epoch]);

  return { data: state.data, error: state.error, busy: state.busy, again: useCallback(() => setTurn((count) => count + 1), []) };
}

/** The time, every second. */
export function useNow(): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** The width of an element, in pixels, as it is. */
export function useWidth<E extends Element>(): [{ current: E | null }, number] {
  const ref = useRef<E>(null);
  const [width, set] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() => set(element.clientWidth));
    observer.observe(element);
    set(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}
