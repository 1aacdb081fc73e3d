/** What would come of a knob, also between the values that were asked for. */

import type { Estimated, KnobName, PolicyEstimate, Preview, Tenant } from "./contract";
import { figures, money, share } from "./format";

export type Foresight = {
  at: number;
  quality: Estimated;
  cost: Estimated;
  seconds?: Estimated;
  /** Why there is no interval; empty where there is one. */
  refused: string;
  warnings: string[];
};

export type Term = "valueMicrodollars" | "abstainBelow" | "risk" | "exploration";
export type Knob = { name: KnobName; term: Term; title: string; asks: string; low: string; high: string; log: boolean; told: (at: number) => string };

export const KNOBS: Knob[] = [
  { name: "value", term: "valueMicrodollars", title: "Worth of a right answer", asks: "How much is one right answer worth?", low: "cheap", high: "good", log: true, told: (at) => money(at) },
  { name: "abstain_below", term: "abstainBelow", title: "Withhold below", asks: "How sure must an answer be to be given?", low: "answer all", high: "only when sure", log: false, told: (at) => share(at, 1) },
  { name: "risk", term: "risk", title: "Risk", asks: "How many of the answers given may be wrong?", low: "hardly any", high: "no promise", log: false, told: (at) => share(at, 1) },
  { name: "exploration", term: "exploration", title: "Exploration", asks: "How many decisions are drawn, so that the log can teach?", low: "none", high: "all", log: false, told: (at) => share(at, 1) },
];

export function foresight(at: number, one: PolicyEstimate | undefined): Foresight {
  const refused = one?.refused || (one?.quality && one.costMicrodollars ? "" : "the log cannot tell");
  const quality = refused ? { value: one?.modelledQuality ?? 0 } : one!.quality!;
  const cost = refused ? { value: one?.modelledCostMicrodollars ?? 0 } : one!.costMicrodollars!;
  return { at, quality, cost, seconds: one?.seconds, refused, warnings: one?.warnings ?? [] };
}

export const foresights = (preview: Preview | undefined): Foresight[] =>
  (preview?.points ?? []).map((point) => foresight(point.at ?? 0, point.estimate)).sort((a, b) => a.at - b.at);

const mix = (one: number | undefined, other: number | undefined, weight: number) => (one ?? 0) + weight * ((other ?? 0) - (one ?? 0));

function mixed(one: Estimated | undefined, other: Estimated | undefined, weight: number, sure: boolean): Estimated | undefined {
  if (!one || !other) return undefined;
  const value = mix(one.value, other.value, weight);
  return sure ? { value, low: mix(one.low, other.low, weight), high: mix(one.high, other.high, weight) } : { value };
}

/** Between two of the points, straight; beyond the last, the last. */
export function between(points: Foresight[], at: number, log: boolean): Foresight | undefined {
  const after = points.findIndex((point) => point.at >= at);
  const right = points[after < 0 ? points.length - 1 : after];
  const left = points[after < 0 ? points.length - 1 : Math.max(0, after - 1)];
  if (!left || !right) return undefined;
  const place = log ? (value: number) => Math.log(Math.max(value, 1e-9)) : (value: number) => value;
  const span = place(right.at) - place(left.at);
  const weight = span ? Math.min(1, Math.max(0, (place(at) - place(left.at)) / span)) : 0;
  if (weight === 0) return { ...left, at };
  if (weight === 1) return { ...right, at };
  const refused = left.refused || right.refused;
  return {
    at,
    quality: mixed(left.quality, right.quality, weight, !refused)!,
    cost: mixed(left.cost, right.cost, weight, !refused)!,
    seconds: mixed(left.seconds, right.seconds, weight, true),
    refused,
    warnings: [...new Set([...left.warnings, ...right.warnings])],
  };
}

/** Steps of a slider along the range, and back. */
export const STEPS = 240;

export function valueAt(step: number, [low, high]: [number, number], log: boolean): number {
  const part = step / STEPS;
  return log ? low * (high / low) ** part : low + (high - low) * part;
}

export function stepAt(value: number, [low, high]: [number, number], log: boolean): number {
  const part = log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.round(STEPS * Math.min(1, Math.max(0, part)));
}

/** As it is stored: three figures of money, thousandths of a share. */
export const tidy = (value: number, log: boolean): number => (log ? Number(value.toPrecision(3)) : Math.round(value * 1000) / 1000);

/** What is more or less than before, in words; `sure` where the intervals do not meet. */
export function difference(then: Foresight, now: Foresight): { quality: number; cost: number; sure: boolean } {
  const apart = (a: Estimated, b: Estimated) => (a.low ?? -Infinity) > (b.high ?? Infinity) || (b.low ?? -Infinity) > (a.high ?? Infinity);
  const before = now.cost.value ?? 0;
  return {
    quality: (then.quality.value ?? 0) - (now.quality.value ?? 0),
    cost: before ? (then.cost.value ?? 0) / before - 1 : 0,
    sure: !then.refused && !now.refused && apart(then.quality, now.quality),
  };
}

export function inWords(then: Foresight, now: Foresight): string {
  const { quality, cost, sure } = difference(then, now);
  const points = Math.abs(100 * quality);
  const part = Math.abs(100 * cost);
  if (points < 0.05 && part < 0.5) return "As it is now.";
  const better = `${points.toFixed(1)} points ${quality >= 0 ? "more" : "less"} quality`;
  const dearer = `${figures(part)} % ${cost >= 0 ? "more" : "less"} cost`;
  const joined = quality >= 0 === cost >= 0 ? "for" : "and";
  if (then.refused || now.refused) return `${better} ${joined} ${dearer}, if the fitted model is to be believed: the log alone cannot tell.`;
  return `${better} ${joined} ${dearer} than now. ${sure ? "Their intervals lie apart." : "Their intervals overlap: the log is not sure of a difference in quality."}`;
}

/** The terms that a turn of a knob changes: a stated value takes the place of a floor or a cap. */
export function touched(tenant: Tenant, term: Term): (keyof Tenant)[] {
  if (term !== "valueMicrodollars") return [term];
  const objectives = (["floor", "capMicrodollars", "windowSeconds"] as const).filter((one) => tenant[one] !== undefined);
  return tenant.floor !== undefined || tenant.capMicrodollars !== undefined ? [term, ...objectives] : [term];
}
