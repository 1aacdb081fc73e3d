/** Quality against cost: the knob's curve with its band, the controls, where it is and where the thumb would have it. */

import { useWidth } from "./asking";
import type { PolicyEstimate } from "./contract";
import { type Foresight, foresight } from "./curve";
import { money, share } from "./format";
import { type Scale, around, linear, logarithmic, path } from "./scale";

const HEIGHT = 262;
const EDGE = { left: 46, right: 16, top: 12, bottom: 34 };

export function Frontier(props: { points: Foresight[]; now: Foresight; thumb: Foresight; logged: PolicyEstimate | undefined; constants: PolicyEstimate[] }) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const constants = props.constants.map((one, index) => ({ mark: String.fromCharCode(65 + index), of: foresight(0, one) })).filter(({ of }) => !of.refused);
  const logged = props.logged && foresight(0, props.logged);
  const all = [...props.points, ...constants.map(({ of }) => of), ...(logged && !logged.refused ? [logged] : [])];
  const [x, y] = scales(props.points, all, width);
  const sure = props.points.filter((one) => !one.refused);
  const told = `Quality against cost per request. Where the knob is, quality is ${share(props.now.quality.value)} for ${money(props.now.cost.value)}; where the thumb is, ${share(props.thumb.quality.value)} for ${money(props.thumb.cost.value)}.`;
  return (
    <div ref={ref} class="plot" style={{ height: `${HEIGHT + 26}px` }}>
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={told}>
          <Axes x={x} y={y} width={width} />
          <g class="bands">{sure.slice(1).map((one, index) => <path key={one.at} class="band" d={slab(sure[index]!, one, x, y)} />)}</g>
          <path class="curve faint" d={path(props.points.map((one) => [x(one.cost.value ?? 0), y(one.quality.value ?? 0)]))} />
          <path class="curve" d={path(sure.map((one) => [x(one.cost.value ?? 0), y(one.quality.value ?? 0)]))} />
          {props.points.map((one) => (
            <circle key={one.at} class={one.refused ? "bead unsure" : "bead"} cx={x(one.cost.value ?? 0)} cy={y(one.quality.value ?? 0)} r="2.5" />
          ))}
          {constants.map(({ mark, of }) => (
            <Control key={mark} mark={mark} of={of} x={x} y={y} width={width} />
          ))}
          {logged && !logged.refused && <Control of={logged} x={x} y={y} width={width} />}
          <circle class="now" cx={x(props.now.cost.value ?? 0)} cy={y(props.now.quality.value ?? 0)} r="7" />
          <Thumb of={props.thumb} x={x} y={y} width={width} />
        </svg>
      )}
      <ul class="legend inside" aria-hidden="true">
        <li><i class="key thumb" /> the thumb</li>
        <li><i class="key now" /> now</li>
        <li><i class="key band" /> 95 %</li>
        <li><i class="key control" /> always one plan (dashed: further out)</li>
        <li><i class="key logged" /> what was done</li>
      </ul>
    </div>
  );
}

const ROOM = 1.2; // of the curve's own height, which controls beside it may take

/** The curve has most of the room; controls that lie far from it stand at the edge. */
function scales(curve: Foresight[], all: Foresight[], width: number): [Scale, Scale] {
  const own = curve.map((one) => one.cost.value ?? 0).filter((one) => one > 0);
  const [least, most] = [Math.min(...own) / 3, Math.max(...own) * 2.5];
  const costs = all.map((one) => one.cost.value ?? 0).filter((one) => one >= least && one <= most);
  const [low, high] = [Math.min(...own, ...costs), Math.max(...own, ...costs)];
  const reach: [number, number] = [EDGE.left, width - EDGE.right];
  const x = low > 0 && high / low > 5 ? logarithmic([low / 1.3, high * 1.3], reach) : linear(around(costs, 0.08, 1e-6), reach);
  const heights = curve.flatMap((one) => [one.quality.value ?? 0, one.quality.low ?? one.quality.value ?? 0, one.quality.high ?? one.quality.value ?? 0]);
  const room = Math.max(0.04, ROOM * (Math.max(...heights) - Math.min(...heights)));
  const near = all.map((one) => one.quality.value ?? 0).filter((one) => one > Math.min(...heights) - room && one < Math.max(...heights) + room);
  const [bottom, top] = around([...heights, ...near], 0.08, 0.01);
  return [x, linear([Math.max(0, bottom), Math.min(1, top)], [HEIGHT - EDGE.bottom, EDGE.top])];
}

/** The band between two points; together they are one, though cost may fall and rise again along the knob. */
function slab(one: Foresight, next: Foresight, x: Scale, y: Scale): string {
  const corner = (of: Foresight, end: "low" | "high"): [number, number] => [x(of.cost.value ?? 0), y(of.quality[end] ?? 0)];
  return `${path([corner(one, "high"), corner(next, "high"), corner(next, "low"), corner(one, "low")])}Z`;
}

/** A control, or without a mark what was done; at the edge, and dashed, where it lies outside. */
function Control({ mark, of, x, y, width }: { mark?: string; of: Foresight; x: Scale; y: Scale; width: number }) {
  const [cx, cy] = [x(of.cost.value ?? 0), y(of.quality.value ?? 0)];
  const [left, top] = [within(cx, EDGE.left + 10, width - EDGE.right - 2), within(cy, EDGE.top, HEIGHT - EDGE.bottom - 10)];
  const outside = Math.abs(left - cx) + Math.abs(top - cy) > 1;
  return (
    <g class={`${mark ? "control" : "logged"} ${outside ? "outside" : ""}`}>
      <title>{`${mark ?? "what was done"}: ${share(of.quality.value)} for ${money(of.cost.value)}${outside ? ", further out than the plot goes" : ""}`}</title>
      {!outside && <Cross of={of} x={x} y={y} />}
      {mark ? <circle cx={left} cy={top} r="8.5" /> : <rect x={left - 5} y={top - 5} width="10" height="10" transform={`rotate(45 ${left} ${top})`} />}
      {mark && <text x={left} y={top + 3.5}>{mark}</text>}
    </g>
  );
}

const within = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

/** Both intervals, as far as the plot goes. */
function Cross({ of, x, y }: { of: Foresight; x: Scale; y: Scale }) {
  if (of.refused) return null;
  const across = (value: number | undefined) => within(x(value ?? 0), x(x.domain[0]), x(x.domain[1]));
  const up = (value: number | undefined) => within(y(value ?? 0), y(y.domain[1]), y(y.domain[0]));
  const [cx, cy] = [across(of.cost.value), up(of.quality.value)];
  return <path class="cross" d={`M${across(of.cost.low)} ${cy}H${across(of.cost.high)}M${cx} ${up(of.quality.low)}V${up(of.quality.high)}`} />;
}

function Thumb({ of, x, y, width }: { of: Foresight; x: Scale; y: Scale; width: number }) {
  const [cx, cy] = [x(of.cost.value ?? 0), y(of.quality.value ?? 0)];
  return (
    <g class="thumb">
      <path class="guide" d={`M${EDGE.left} ${cy}H${Math.min(cx, width)}M${cx} ${HEIGHT - EDGE.bottom}V${cy}`} />
      <Cross of={of} x={x} y={y} />
      <circle cx={cx} cy={cy} r="7" />
    </g>
  );
}

export function Axes({ x, y, width }: { x: Scale; y: Scale; width: number }) {
  return (
    <g class="axes" aria-hidden="true">
      {y.ticks.map((tick) => (
        <g key={tick}>
          <path d={`M${EDGE.left} ${y(tick)}H${width - EDGE.right}`} />
          <text x={EDGE.left - 7} y={y(tick) + 3.5} text-anchor="end">{share(tick, 0)}</text>
        </g>
      ))}
      {spaced(x).map((tick) => (
        <g key={tick}>
          <path class="tick" d={`M${x(tick)} ${HEIGHT - EDGE.bottom}v4`} />
          <text x={x(tick)} y={HEIGHT - EDGE.bottom + 18} text-anchor="middle">{money(tick)}</text>
        </g>
      ))}
      <text class="name" x={width - EDGE.right} y={HEIGHT - 3} text-anchor="end">cost per request →</text>
      <text class="name" x={EDGE.left + 6} y={EDGE.top + 8}>↑ quality</text>
    </g>
  );
}

/** Ticks with room for their words. */
function spaced(x: Scale): number[] {
  const kept: number[] = [];
  for (const tick of x.ticks) if (!kept.length || Math.abs(x(tick) - x(kept.at(-1)!)) > 62) kept.push(tick);
  return kept;
}
