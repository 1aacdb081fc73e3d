/** Values that components follow. */

import { useEffect, useState } from "preact/hooks";

export type Store<T> = { get(): T; set(value: T): void; follow(heard: () => void): () => void };

export function store<T>(value: T): Store<T> {
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const heard of [...listeners]) heard();
    },
    follow(heard) {
      listeners.add(heard);
      return () => listeners.delete(heard);
    },
  };
}

export function useStore<T>(from: Store<T>): T {
  const [, again] = useState(0);
  useEffect(() => from.follow(() => again((count) => count + 1)), [from]);
  return from.get();
}
