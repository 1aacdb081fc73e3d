/** A number over time with its band, drawn by uPlot. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { Estimated } from "./contract";
import { useStore } from "./store";
import { theme } from "./theme";

const HEIGHT = 180;
const LEAST = 600;

export type Moment = { at: number; of: Estimated | undefined };

export function Timeline(props: { moments: Moment[]; as: (value: number) => string; tone: "quality" | "cost"; label: string; floor?: number; top?: number }) {
  const ref = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const dressed = useStore(theme);
  const { as, tone, floor, top } = props;

  useEffect(() => {
    const element = ref.current!;
    const styles = getComputedStyle(element);
    const [line, band, grid, text] = [`--${tone}`, `--${tone}-band`, "--line", "--soft"].map((name) => styles.getPropertyValue(name).trim());
    const axis: uPlot.Axis = { stroke: text, font: "11px system-ui, sans-serif", grid: { stroke: grid, width: 1 }, ticks: { show: false }, gap: 6 };
    const made = new uPlot(
      {
        width: element.clientWidth || 300,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        padding: [10, 12, 0, 0],
        scales: { x: { time: true, range: (_, first, last) => lapse(first, last) }, y: { range: (_, low, high) => reach(low, high, floor, top) } },
        axes: [
          { ...axis, grid: { show: false }, space: 70, values: (_, ticks) => moments(ticks), size: 30 },
          { ...axis, size: 62, values: (_, ticks) => ticks.map(as) },
        ],
        series: [
          {},
          { stroke: "transparent", points: { show: false } },
          { stroke: "transparent", points: { show: false } },
          { stroke: line, width: 2, points: { show: true, size: 5, fill: line, stroke: line } },
        ],
        bands: [{ series: [2, 1], fill: band }],
      },
      columns(props.moments),
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => (observer.disconnect(), made.destroy());
  }, [dressed, tone]);

  useEffect(() => plot.current?.setData(columns(props.moments)), [props.moments]);

  const last = props.moments.findLast((one) => one.of);
  return <div ref={ref} class="timeline" style={{ height: `${HEIGHT}px` }} role="img" aria-label={`${props.label}, last ${last ? as(last.of?.value ?? 0) : "not known"}`} />;
}

/** Hours and minutes; days where there is more than one. */
function moments(ticks: number[]): string[] {
  const long = ticks.length > 1 && (ticks.at(-1)! - ticks[0]!) > 86_400;
  const told = new Intl.DateTimeFormat("en-GB", long ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit" });
  return ticks.map((tick) => told.format(tick * 1000));
}

/** The seconds that are shown: ten minutes at least, or one moment would be spread over years. */
function lapse(first: number, last: number): [number, number] {
  if (!Number.isFinite(first) || !Number.isFinite(last)) return [0, LEAST];
  const spare = Math.max(0, LEAST - (last - first)) / 2;
  return [first - spare, last + spare];
}

function reach(low: number, high: number, floor = -Infinity, top = Infinity): [number, number] {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const pad = (high - low || Math.abs(high) || 1) * 0.12;
  return [Math.max(floor, low - pad), Math.min(top, high + pad)];
}

function columns(moments: Moment[]): uPlot.AlignedData {
  const column = (pick: (of: Estimated) => number | undefined) => moments.map(({ of }) => (of ? (pick(of) ?? 0) : null));
  return [moments.map(({ at }) => at / 1000), column((of) => of.low), column((of) => of.high), column((of) => of.value)];
}
