/** Changes to a tenant's terms, and taking them back. */

import { call } from "./api";
import type { Tenant } from "./contract";
import { store } from "./store";

export type Change = { tenant: string; title: string; terms: (keyof Tenant)[]; before: Partial<Tenant>; after: Partial<Tenant>; from: string; to: string; at: number };

/** What was changed here, the first first. */
export const changes = store<Change[]>([]);

/** What a term that is not told came to before it was first changed here, by tenant and term. */
export const untold = new Map<string, number>();

const only = (tenant: Partial<Tenant>, terms: (keyof Tenant)[]): Partial<Tenant> =>
  Object.fromEntries(terms.filter((term) => tenant[term] !== undefined).map((term) => [term, tenant[term]]));

async function update(tenant: Tenant, terms: (keyof Tenant)[], values: Partial<Tenant>): Promise<Tenant> {
  const body = { tenant: { name: tenant.name, etag: tenant.etag, ...values }, updateMask: terms.join(",") };
  const done = await call<{ tenant?: Tenant }>("TenantService/UpdateTenant", body);
  return done.tenant ?? {};
}

/** Puts a change into force, unless the tenant is no longer as it was seen; a term that is not in `after` has the service's default. */
export async function apply(tenant: Tenant, change: Omit<Change, "before" | "at" | "tenant">): Promise<Tenant> {
  const done = await update(tenant, change.terms, change.after);
  changes.set([...changes.get(), { ...change, tenant: tenant.name ?? "", before: only(tenant, change.terms), at: Date.now() }]);
  return done;
}

/** Takes the last change to this tenant back. */
export async function undo(tenant: Tenant): Promise<Tenant> {
  const last = changes.get().findLast((one) => one.tenant === tenant.name);
  if (!last) return tenant;
  const done = await update(tenant, last.terms, last.before);
  changes.set(changes.get().filter((one) => one !== last));
  return done;
}
