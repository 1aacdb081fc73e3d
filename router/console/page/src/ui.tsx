/** The pieces that views are made of. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Refusal } from "./api";
import { colour } from "./colour";
import type { Estimated } from "./contract";
import { count } from "./format";

export function Panel(props: { title: string; about?: ComponentChildren; side?: ComponentChildren; class?: string; children: ComponentChildren }) {
  const id = `panel-${props.title.toLowerCase().replace(/\W+/g, "-")}`;
  return (
    <section class={`panel ${props.class ?? ""}`} aria-labelledby={id}>
      <header>
        <div>
          <h2 id={id}>{props.title}</h2>
          {props.about && <p class="about">{props.about}</p>}
        </div>
        {props.side}
      </header>
      {props.children}
    </section>
  );
}

/** A number with its 95 % interval. */
export function Told(props: { of: Estimated | undefined; as: (value: number) => string; none?: string }) {
  const { of, as } = props;
  if (!of) return <span class="none">{props.none ?? "–"}</span>;
  return (
    <span class="told">
      <b>{as(of.value ?? 0)}</b> <small>{interval(of, as)}</small>
    </span>
  );
}

export const interval = (of: Estimated, as: (value: number) => string): string => `${as(of.low ?? 0)} to ${as(of.high ?? 0)}`;

export function Stat(props: { name: string; value: string; under?: ComponentChildren; tone?: string }) {
  return (
    <div class={`stat ${props.tone ?? ""}`}>
      <dt>{props.name}</dt>
      <dd>{props.value}</dd>
      <dd class="under">{props.under ?? " "}</dd>
    </div>
  );
}

export function Copy(props: { text: string }) {
  const [done, set] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(props.text).catch(() => undefined);
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return (
    <div class="copy">
      <code>{props.text}</code>
      <button type="button" onClick={copy} aria-label={`Copy: ${props.text}`}>
        {done ? "Copied" : "Copy"}
      </button>
    </div>
  );
}

/** Nothing is there yet, and what to do about it. */
export function Empty(props: { title: string; children?: ComponentChildren; command?: string }) {
  return (
    <div class="empty">
      <svg viewBox="0 0 64 40" width="64" height="40" aria-hidden="true">
        <path d="M2 30h8l4-20 8 20 8-20 8 20 8-20 4 20h12" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linejoin="round" stroke-linecap="round" />
      </svg>
      <h3>{props.title}</h3>
      <p>{props.children}</p>
      {props.command && <Copy text={props.command} />}
    </div>
  );
}

const WORDS: Record<string, string> = {
  ROLE_LACKING: "These credentials do not allow this.",
  FOREIGN_TENANT: "These credentials are another tenant's.",
  NO_SUPPORT: "The log holds too little for an answer yet.",
  ETAG_MISMATCH: "Somebody else changed these terms meanwhile. They are as shown now; look, and apply again.",
  OVERLOADED: "Another evaluation is under way.",
  NO_GUARANTEE: "No such promise can be kept with what was learned so far.",
};

/** What went wrong, with the service's own words. */
export function Trouble(props: { error: Refusal | undefined; children?: ComponentChildren }) {
  const { error } = props;
  if (!error || error.code === "unauthenticated") return null;
  const word = WORDS[error.reason];
  return (
    <div class="note bad" role="alert">
      <strong>{word ?? (error.code === "gone" ? "The service does not answer." : "This was refused.")}</strong> {error.code === "gone" ? "What is shown is what was known last." : error.message}
      {props.children}
    </div>
  );
}

export function Note(props: { tone?: "warn" | "good" | "bad" | ""; children: ComponentChildren }) {
  return <div class={`note ${props.tone ?? ""}`}>{props.children}</div>;
}

export function Dot(props: { of: string }) {
  return <i class="dot" style={{ background: colour(props.of) }} aria-hidden="true" />;
}

export function PlanName(props: { of: string }) {
  return (
    <span class="plan">
      <Dot of={props.of} />
      {props.of}
    </span>
  );
}

/** Parts of a whole in one bar, with words for those who do not see it. */
export function Parts(props: { parts: { name: string; value: number; fill?: string }[]; label: string; tall?: boolean }) {
  const whole = props.parts.reduce((sum, one) => sum + one.value, 0) || 1;
  const told = props.parts.map((one) => `${one.name} ${count(one.value)}`).join(", ");
  return (
    <div class={`parts ${props.tall ? "tall" : ""}`} role="img" aria-label={`${props.label}: ${told || "nothing"}`}>
      {props.parts.map((one) => (
        <span key={one.name} title={`${one.name}: ${count(one.value)}`} style={{ width: `${(100 * one.value) / whole}%`, background: one.fill ?? colour(one.name) }} />
      ))}
    </div>
  );
}

export function Legend(props: { names: string[]; fills?: Record<string, string> }) {
  return (
    <ul class="legend">
      {props.names.map((name) => (
        <li key={name}>
          <i class="dot" style={{ background: props.fills?.[name] ?? colour(name) }} aria-hidden="true" />
          {name}
        </li>
      ))}
    </ul>
  );
}

/** A control that the credentials do not allow: there, off, and saying why. */
export function Allowed(props: { when: boolean; why: string; id: string; children: ComponentChildren }) {
  return (
    <>
      {props.children}
      {!props.when && (
        <p class="why" id={props.id}>
          {props.why}
        </p>
      )}
    </>
  );
}

export function Busy(props: { children: ComponentChildren }) {
  return (
    <p class="busy" role="status">
      <i aria-hidden="true" />
      {props.children}
    </p>
  );
}
