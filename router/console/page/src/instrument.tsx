/** The slider with its coil, and above it quality, cost and seconds along the same range. */

import { useWidth } from "./asking";
import type { Estimated } from "./contract";
import { type Foresight, type Knob, STEPS, stepAt } from "./curve";
import { money, seconds, share } from "./format";
import { around, linear, logarithmic, path } from "./scale";

const HEIGHT = 46;
const THUMB = 13; // half the thumb: what a slider's track keeps free at either end

type Props = { knob: Knob; points: Foresight[]; range: [number, number]; step: number; now: Foresight; thumb: Foresight; onTurn: (step: number) => void };

export function Instrument(props: Props) {
  const { knob, thumb } = props;
  const [ref, width] = useWidth<HTMLDivElement>();
  const reach: [number, number] = [THUMB, width - THUMB];
  const x = knob.log ? logarithmic(props.range, reach) : linear(props.range, reach);
  const here = THUMB + (props.step / STEPS) * (width - 2 * THUMB);
  const was = THUMB + (stepAt(props.now.at, props.range, knob.log) / STEPS) * (width - 2 * THUMB);
  const told = `${knob.told(thumb.at)}: quality ${share(thumb.quality.value)}${ends(thumb.quality, share)}, cost ${money(thumb.cost.value)}${ends(thumb.cost, money)}`;
  return (
    <div class="instrument">
      <div ref={ref} class="strips" style={{ height: `${3 * (HEIGHT + 6)}px` }}>
        {width > 0 && (
          <>
            <Strip name="quality" kind="quality" {...{ points: props.points, thumb, x, here, was, width }} of={(one) => one.quality} as={(one) => share(one, 0)} />
            <Strip name="cost" kind="cost" {...{ points: props.points, thumb, x, here, was, width }} of={(one) => one.cost} as={money} log />
            <Strip name="seconds" kind="time" {...{ points: props.points, thumb, x, here, was, width }} of={(one) => one.seconds} as={seconds} />
          </>
        )}
      </div>
      <div class="slide">
        <input
          type="range"
          id="knob"
          min="0"
          max={STEPS}
          step="1"
          value={props.step}
          aria-label={knob.title}
          aria-valuetext={told}
          style={{ "--part": `${(100 * props.step) / STEPS}%` }}
          onInput={(event) => props.onTurn(Number(event.currentTarget.value))}
        />
        {width > 0 && <i class="was" style={{ left: `${was}px` }} aria-hidden="true" />}
      </div>
      <div class="marks" aria-hidden="true">
        <span>{knob.told(props.range[0])} · {knob.low}</span>
        <span>{knob.high} · {knob.told(props.range[1])}</span>
      </div>
    </div>
  );
}

const ends = (of: Estimated, as: (value: number) => string) => (of.low === undefined ? ", by the model alone" : `, from ${as(of.low)} to ${as(of.high ?? 0)}`);

type StripProps = { points: Foresight[]; thumb: Foresight; name: string; kind: string; x: (at: number) => number; here: number; was: number; width: number; of: (one: Foresight) => Estimated | undefined; as: (value: number) => string; log?: boolean };

function Strip({ name, kind, points, thumb, x, here, was, width, of, as, log }: StripProps) {
  const drawn = points.filter((one) => of(one));
  const values = drawn.flatMap((one) => [of(one)!.value ?? 0, of(one)!.low ?? of(one)!.value ?? 0, of(one)!.high ?? of(one)!.value ?? 0]);
  const positive = values.filter((one) => one > 0);
  const reach: [number, number] = [HEIGHT - 5, 7];
  const y = log && positive.length && Math.max(...positive) / Math.min(...positive) > 8 ? logarithmic([Math.min(...positive), Math.max(...positive)], reach) : linear(around(values, 0.04, 1e-9), reach);
  const sure = drawn.filter((one) => of(one)!.low !== undefined || of(one)!.high !== undefined);
  const edge = (end: "low" | "high"): [number, number][] => sure.map((one) => [x(one.at), y(of(one)![end] ?? 0)]);
  return (
    <svg class={`strip ${kind}`} width={width} height={HEIGHT} aria-hidden="true">
      <path class="floor" d={`M0 ${HEIGHT - 1}H${width}`} />
      {sure.length > 1 && <path class="band" d={`${path([...edge("high"), ...edge("low").reverse()])}Z`} />}
      <path class="curve" d={path(drawn.map((one) => [x(one.at), y(of(one)!.value ?? 0)]))} />
      <path class="was" d={`M${was} 0V${HEIGHT}`} />
      <path class="is" d={`M${here} 0V${HEIGHT}`} />
      {of(thumb) && <circle cx={here} cy={y(of(thumb)!.value ?? 0)} r="4" />}
      <text x="4" y="14">{name}</text>
      <text class="value" x={here > width - 80 ? here - 8 : here + 8} y="14" text-anchor={here > width - 80 ? "end" : "start"}>{of(thumb) ? as(of(thumb)!.value ?? 0) : ""}</text>
    </svg>
  );
}
