/** Quality against cost: the knob's curve with its band, the controls, where it is and where the thumb would have it. */

import { useWidth } from "./asking";
import type { PolicyEstimate } from "./contract";
import { type Foresight, foresight } from "./curve";
import { money, share } from "./format";
import { type Scale, around, linear, logarithmic, path } from "./scale";

const HEIGHT = 330;
const EDGE = { left: 46, right: 14, top: 12, bottom: 34 };

export function Frontier(props: { points: Foresight[]; now: Foresight; thumb: Foresight; logged: PolicyEstimate | undefined; constants: PolicyEstimate[] }) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const constants = props.constants.map((one, index) => ({ mark: String.fromCharCode(65 + index), of: foresight(0, one) })).filter(({ of }) => !of.refused);
  const logged = props.logged && foresight(0, props.logged);
  const all = [...props.points, ...constants.map(({ of }) => of), ...(logged && !logged.refused ? [logged] : [])];
  const [x, y] = scales(all, width);
  const sure = props.points.filter((one) => !one.refused);
  const told = `Quality against cost per request. Where the knob is, quality is ${share(props.now.quality.value)} for ${money(props.now.cost.value)}; where the thumb is, ${share(props.thumb.quality.value)} for ${money(props.thumb.cost.value)}.`;
  return (
    <div ref={ref} class="plot" style={{ height: `${HEIGHT}px` }}>
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={told}>
          <Axes x={x} y={y} width={width} />
          <path class="band" d={band(sure, x, y)} />
          <path class="curve faint" d={path(props.points.map((one) => [x(one.cost.value ?? 0), y(one.quality.value ?? 0)]))} />
          <path class="curve" d={path(sure.map((one) => [x(one.cost.value ?? 0), y(one.quality.value ?? 0)]))} />
          {props.points.map((one) => (
            <circle key={one.at} class={one.refused ? "bead unsure" : "bead"} cx={x(one.cost.value ?? 0)} cy={y(one.quality.value ?? 0)} r="2.5" />
          ))}
          {constants.map(({ mark, of }) => (
            <g key={mark} class="control">
              <Cross of={of} x={x} y={y} />
              <circle cx={x(of.cost.value ?? 0)} cy={y(of.quality.value ?? 0)} r="8.5" />
              <text x={x(of.cost.value ?? 0)} y={y(of.quality.value ?? 0) + 3.5}>{mark}</text>
            </g>
          ))}
          {logged && !logged.refused && (
            <g class="logged">
              <Cross of={logged} x={x} y={y} />
              <rect x={x(logged.cost.value ?? 0) - 5} y={y(logged.quality.value ?? 0) - 5} width="10" height="10" transform={`rotate(45 ${x(logged.cost.value ?? 0)} ${y(logged.quality.value ?? 0)})`} />
            </g>
          )}
          <circle class="now" cx={x(props.now.cost.value ?? 0)} cy={y(props.now.quality.value ?? 0)} r="7" />
          <Thumb of={props.thumb} x={x} y={y} width={width} />
        </svg>
      )}
      <ul class="legend inside" aria-hidden="true">
        <li><i class="key thumb" /> the thumb</li>
        <li><i class="key now" /> now</li>
        <li><i class="key band" /> 95 %</li>
        <li><i class="key control" /> always one plan</li>
        <li><i class="key logged" /> what was done</li>
      </ul>
    </div>
  );
}

function scales(all: Foresight[], width: number): [Scale, Scale] {
  const costs = all.flatMap((one) => [one.cost.value ?? 0]).filter((one) => one > 0);
  const [low, high] = [Math.min(...costs), Math.max(...costs)];
  const reach: [number, number] = [EDGE.left, width - EDGE.right];
  const x = low > 0 && high / low > 5 ? logarithmic([low / 1.3, high * 1.3], reach) : linear(around(costs, 0.08, 1e-6), reach);
  const heights = all.flatMap((one) => [one.quality.value ?? 0, one.quality.low ?? one.quality.value ?? 0, one.quality.high ?? one.quality.value ?? 0]);
  const [bottom, top] = around(heights, 0.05, 0.01);
  return [x, linear([Math.max(0, bottom), Math.min(1, top)], [HEIGHT - EDGE.bottom, EDGE.top])];
}

function band(points: Foresight[], x: Scale, y: Scale): string {
  if (points.length < 2) return "";
  const edge = (end: "low" | "high"): [number, number][] => points.map((one) => [x(one.cost.value ?? 0), y(one.quality[end] ?? 0)]);
  return `${path([...edge("high"), ...edge("low").reverse()])}Z`;
}

function Cross({ of, x, y }: { of: Foresight; x: Scale; y: Scale }) {
  const [cx, cy] = [x(of.cost.value ?? 0), y(of.quality.value ?? 0)];
  if (of.refused) return null;
  return <path class="cross" d={`M${x(of.cost.low ?? 0)} ${cy}H${x(of.cost.high ?? 0)}M${cx} ${y(of.quality.low ?? 0)}V${y(of.quality.high ?? 0)}`} />;
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
