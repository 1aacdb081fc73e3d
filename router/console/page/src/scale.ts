/** From numbers to pixels. */

export type Scale = { (value: number): number; ticks: number[]; domain: [number, number] };

export function linear([low, high]: [number, number], [from, to]: [number, number], about = 5): Scale {
  const span = high - low || 1;
  const at = (value: number) => from + ((value - low) / span) * (to - from);
  return Object.assign(at, { ticks: round(low, high, about), domain: [low, high] as [number, number] });
}

export function logarithmic([low, high]: [number, number], [from, to]: [number, number]): Scale {
  const [first, last] = [Math.log10(low), Math.log10(high)];
  const at = (value: number) => from + ((Math.log10(Math.max(value, low / 100)) - first) / (last - first || 1)) * (to - from);
  const steps = last - first > 2.2 ? [1] : last - first > 1.2 ? [1, 3] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(first); power <= Math.ceil(last); power++)
    for (const step of steps) {
      const tick = step * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  return Object.assign(at, { ticks, domain: [low, high] as [number, number] });
}

function round(low: number, high: number, about: number): number[] {
  const raw = (high - low) / about || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw * 0.999)!;
  const ticks: number[] = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

/** The ends of these numbers with some room around them. */
export function around(values: number[], room = 0.06, least = 0): [number, number] {
  const finite = values.filter(Number.isFinite);
  if (!finite.length) return [0, 1];
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const pad = Math.max((high - low) * room, least);
  return [low - pad, high + pad || 1];
}

export const path = (points: [number, number][]): string => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
