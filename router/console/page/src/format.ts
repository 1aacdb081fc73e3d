/** Numbers for people. */

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const THREE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const FINE = new Intl.NumberFormat("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });

/** A 64-bit integer of the contract, or a number that may be absent. */
export const number = (value: string | number | undefined): number => Number(value ?? 0);

export const count = (value: string | number | undefined): string => GROUPED.format(number(value));

export const share = (value: number | undefined, digits = 1): string => `${(100 * (value ?? 0)).toFixed(digits)} %`;

/** Three figures that count, grouped. */
export const figures = (value: number): string => (Math.abs(value) >= 1000 ? GROUPED.format(Number(value.toPrecision(3))) : THREE.format(value));

/** Micro-dollars, in dollars from a cent on. */
export function money(micro: string | number | undefined): string {
  const value = number(micro);
  if (value === 0) return "0 µ$";
  if (Math.abs(value) >= 10_000) return `${value < 0 ? "−" : ""}$${FINE.format(Math.abs(value) / 1e6)}`;
  return `${Math.abs(value) >= 100 ? GROUPED.format(value) : FINE.format(value)} µ$`;
}

export function seconds(value: number | undefined): string {
  if (value === undefined) return "–";
  if (value < 1) return `${(1000 * value).toFixed(value < 0.0995 ? 1 : 0)} ms`;
  return value < 120 ? `${FINE.format(value)} s` : `${(value / 60).toFixed(1)} min`;
}

export function ago(time: string | number | undefined, now = Date.now()): string {
  if (!time) return "–";
  const past = (now - new Date(time).getTime()) / 1000;
  if (past < 5) return "just now";
  if (past < 60) return `${Math.round(past)} s ago`;
  if (past < 3600) return `${Math.round(past / 60)} min ago`;
  if (past < 86_400) return `${Math.round(past / 3600)} h ago`;
  return new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

export function until(time: string | undefined, now = Date.now()): string {
  if (!time) return "";
  const left = Math.max(0, (new Date(time).getTime() - now) / 1000);
  if (left < 90) return `in ${Math.round(left)} s`;
  if (left < 5400) return `in ${Math.round(left / 60)} min`;
  return left < 129_600 ? `in ${Math.round(left / 3600)} h` : `in ${Math.round(left / 86_400)} days`;
}

export function clock(time: string | undefined): string {
  if (!time) return "";
  const at = new Date(time);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString("en-GB", { ...(today ? {} : { day: "2-digit", month: "short" }), hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** "12 plans", "1 plan". */
export const counted = (value: string | number | undefined, noun: string): string => `${count(value)} ${noun}${number(value) === 1 ? "" : "s"}`;
