/** The contract, as JSON over HTTP: one function for every call, and what can go wrong with one. */

import { store } from "./store";

export type Code = "unauthenticated" | "permission_denied" | "unavailable" | "failed_precondition" | "not_found" | "aborted" | "gone" | (string & {});

/** What a call was refused with; `gone` where nobody answered. */
export class Refusal extends Error {
  constructor(
    readonly code: Code,
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

const KEY = "rheostat-key";

export const credentials = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (key: string) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

export type Link = {
  /** Whether the last call was answered. */
  up: boolean;
  /** When somebody last answered, in milliseconds; 0 before the first answer. */
  heard: number;
  /** How often the service came back: what was refused meanwhile is asked again. */
  epoch: number;
};

/** Whether the service answers. */
export const link = store<Link>({ up: true, heard: 0, epoch: 0 });

/** Counts up where credentials are missing or no longer good. */
export const locked = store(false);

function heard(up: boolean): void {
  const was = link.get();
  if (up) link.set({ up, heard: Date.now(), epoch: was.up ? was.epoch : was.epoch + 1 });
  else if (was.up) link.set({ ...was, up });
}

/** Asks; raises Refusal. An abort raises what fetch raises. */
export async function call<T>(method: string, body: object = {}, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  const key = credentials.get();
  if (key) headers["authorization"] = `Bearer ${key}`;
  let response: Response;
  try {
    response = await fetch(`/rheostat.v1.${method}`, { method: "POST", headers, body: JSON.stringify(body), signal: signal ?? null, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    heard(false);
    throw new Refusal("gone", "", "The service does not answer.");
  }
  const told = await response.json().catch(() => undefined);
  signal?.throwIfAborted();
  heard(told !== undefined);
  if (response.ok && told !== undefined) return told as T;
  const refusal = new Refusal(told?.code ?? "gone", told?.reason ?? "", told?.message ?? `The service answered with ${response.status}.`);
  if (refusal.code === "unauthenticated") locked.set(true);
  throw refusal;
}
