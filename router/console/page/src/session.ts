/** Who looks on: what the credentials allow, and which tenant is looked at. */

import { Refusal, call, credentials, locked } from "./api";
import type { Tenant } from "./contract";
import { store } from "./store";

export type Role = "unknown" | "admin" | "operator" | "caller";
export type Session = { role: Role; tenants: string[] };

export const session = store<Session>({ role: "unknown", tenants: [] });

const refused = (error: unknown): boolean => error instanceof Refusal && error.code === "permission_denied";

async function everybody(): Promise<string[]> {
  const names: string[] = [];
  let pageToken = "";
  do {
    const page = await call<{ tenants?: Tenant[]; nextPageToken?: string }>("TenantService/ListTenants", { pageSize: 1000, pageToken });
    names.push(...(page.tenants ?? []).map((one) => one.name ?? ""));
    pageToken = page.nextPageToken ?? "";
  } while (pageToken);
  return names;
}

/** Finds out what the credentials allow, by trying; raises Refusal where nobody answers, or they are not good. */
export async function begin(): Promise<void> {
  try {
    session.set({ role: "admin", tenants: await everybody() });
  } catch (error) {
    if (!refused(error)) throw error;
    await beginSmaller();
  }
  locked.set(false);
}

async function beginSmaller(): Promise<void> {
  try {
    const { tenant } = await call<{ tenant?: Tenant }>("TenantService/GetTenant", { name: "" });
    session.set({ role: "operator", tenants: [tenant?.name ?? ""] });
  } catch (error) {
    if (!refused(error)) throw error;
    session.set({ role: "caller", tenants: [] });
  }
}

export function leave(): void {
  credentials.set("");
  session.set({ role: "unknown", tenants: [] });
  locked.set(true);
}
