// Which time, compared with what, and how often anew.

import { useEffect, useRef, useState } from "preact/hooks";
import { date } from "../format/clock.ts";
import { duration } from "../format/quantity.ts";
import { go, place, span } from "../state/place.ts";
import { ago, type Compare, isCompare, isLive, isTime, length, moment, PRESETS, shift, widen } from "../state/span.ts";
import { useKeys } from "./keys.ts";

export function spanTitle(since: string, until: string): string {
  const now = Date.now();
  const preset = PRESETS.find((one) => one.since === since && until === "now");
  if (preset) return `Last ${preset.title}`;
  if (until === "now" && since.startsWith("-")) return `Last ${duration(length({ since, until }, now))}`;
  return `${date(moment(since, now), now)} – ${until === "now" ? "now" : date(moment(until, now), now)}`;
}

const COMPARED: [Compare, string][] = [
  ["", "no comparison"],
  ["previous", "the period before"],
  ["day", "yesterday"],
  ["week", "last week"],
];

/** What is compared with, for people. */
export function compareTitle(compare: Compare): string {
  const known = COMPARED.find(([key]) => key === compare);
  if (known) return known[1];
  if (compare.startsWith("deploy:")) return `before the last deploy of ${compare.split("/").at(-1)}`;
  return ago(`-${compare}`) === undefined ? `from ${compare}` : `${compare} before`;
}

export function Range() {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const { since, until, compare, refresh } = place.value;

  useKeys([
    { keys: "t", title: "Choose a time range", run: () => setOpen(true) },
    { keys: "[", title: "Earlier", run: () => go(shift(span.value, -1, Date.now())) },
    { keys: "]", title: "Later", run: () => go(shift(span.value, 1, Date.now())) },
    {
      keys: "c",
      title: "Compare with the next of: nothing, before, yesterday, last week",
      run: () => {
        const at = COMPARED.findIndex(([key]) => key === place.value.compare);
        go({ compare: COMPARED[(at + 1) % COMPARED.length]![0] });
      },
    },
  ]);

  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>("button,input")?.focus();
    const away = (event: PointerEvent) => {
      if (!box.current?.parentElement?.contains(event.target as Node)) setOpen(false);
    };
    const leave = (event: KeyboardEvent) => {
      if (event.key === "Escape") setOpen(false);
    };
    addEventListener("pointerdown", away);
    addEventListener("keydown", leave);
    return () => {
      removeEventListener("pointerdown", away);
      removeEventListener("keydown", leave);
    };
  }, [open]);

  return (
    <div class="row wrap">
      <div class="anchor joined">
        <button
          type="button"
          aria-label="Earlier"
          title="Earlier  ["
          onClick={() => go(shift(span.value, -1, Date.now()))}
        >
          ‹
        </button>
        <button
          type="button"
          aria-haspopup="dialog"
          aria-expanded={open}
          title="Time range  t"
          onClick={() => setOpen(!open)}
        >
          {spanTitle(since, until)}
        </button>
        <button
          type="button"
          aria-label="Later"
          title="Later  ]"
          disabled={isLive(span.value)}
          onClick={() => go(shift(span.value, 1, Date.now()))}
        >
          ›
        </button>
        {open ? (
          <div class="popover" role="dialog" aria-label="Time range" ref={box}>
            <Choices close={() => setOpen(false)} />
          </div>
        ) : null}
      </div>
      <label class="field">
        vs
        <select
          aria-label="Compare with"
          value={compare}
          onChange={(event) => go({ compare: event.currentTarget.value as Compare })}
        >
          {[...new Set([...COMPARED.map(([key]) => key), compare])].map((key) => (
            <option key={key} value={key}>
              {compareTitle(key)}
            </option>
          ))}
        </select>
      </label>
      {isLive(span.value) ? (
        <label class="field">
          every
          <select
            aria-label="Refresh every"
            value={String(refresh)}
            onChange={(event) => go({ refresh: Number(event.currentTarget.value) })}
          >
            {[...new Set([0, 5, 10, 30, 60, refresh])].map((seconds) => (
              <option key={seconds} value={String(seconds)}>
                {seconds === 0 ? "off" : `${seconds} s`}
              </option>
            ))}
          </select>
        </label>
      ) : null}
    </div>
  );
}

function Choices({ close }: { close: () => void }) {
  const { since, until } = place.value;
  const [from, setFrom] = useState(since);
  const [to, setTo] = useState(until);
  const [earlier, setEarlier] = useState(place.value.compare);
  const wrong = [from, to].find((text) => !isTime(text.trim()));
  const now = Date.now();
  const reversed = wrong === undefined && moment(from, now) >= moment(to, now);
  const odd = !isCompare(earlier.trim());
  const apply = () => {
    go({ since: from.trim(), until: to.trim(), compare: earlier.trim() });
    close();
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (wrong === undefined && !reversed && !odd) apply();
      }}
    >
      <div class="joined" role="group" aria-label="Last">
        {PRESETS.map((one) => (
          <button
            type="button"
            key={one.since}
            aria-pressed={since === one.since && until === "now"}
            onClick={() => {
              go({ since: one.since, until: "now" });
              close();
            }}
          >
            {one.title}
          </button>
        ))}
      </div>
      <div class="stack">
        <label>
          From
          <input class="mono" value={from} spellcheck={false} onInput={(event) => setFrom(event.currentTarget.value)} />
        </label>
        <label>
          To
          <input class="mono" value={to} spellcheck={false} onInput={(event) => setTo(event.currentTarget.value)} />
        </label>
        <label>
          Compared with
          <input
            class="mono"
            value={earlier}
            placeholder="nothing"
            spellcheck={false}
            onInput={(event) => setEarlier(event.currentTarget.value)}
          />
        </label>
        <div class={wrong !== undefined || reversed || odd ? "bad" : "muted"}>
          {wrong !== undefined
            ? `✕ ${wrong || "nothing"} is no time; give -90m, now or 2026-01-31T10:24:00Z`
            : reversed
              ? "✕ the end is not after the start"
              : odd
                ? "✕ compare with previous, day, week, 3h (before), a time, or deploy:NAMESPACE/KIND/NAME"
                : "-90m, now, or 2026-01-31T10:24:00Z; compared with 3h (before), or a time"}
        </div>
        <div class="row">
          <button type="submit" disabled={wrong !== undefined || reversed || odd}>
            Show
          </button>
          <button type="button" onClick={() => go(widen(span.value, now))}>
            Twice as long
          </button>
        </div>
      </div>
    </form>
  );
}
