// Live records: what happens now, filtered where it happens.

import { useEffect, useRef, useState } from "preact/hooks";
import { address, isAbort } from "../api/client.ts";
import { follow } from "../api/lines.ts";
import { count, whole } from "../format/quantity.ts";
import { useKeys } from "../shell/keys.ts";
import { Failure } from "../shell/notice.tsx";
import { measures } from "../state/measures.ts";
import { go, place } from "../state/place.ts";
import type { Filter } from "../state/url.ts";
import { command, KEYS, kindsOf, query, typed } from "./filter.ts";
import { RecordList } from "./list.tsx";
import { type Entry, Ring } from "./ring.ts";

/** Lines kept in the page. */
const KEPT = 5000;
const RETRY_MS = 2000;

type State = "connecting" | "open" | "ended" | "failed";

interface Shown {
  entries: readonly Entry[];
  received: number;
  lost: number;
  evicted: number;
  perSecond: number;
}

const NOTHING: Shown = { entries: [], received: 0, lost: 0, evicted: 0, perSecond: 0 };

/** The stream of what the filters ask for; while paused it goes on, and what is shown does not change. */
function useStream(filters: readonly Filter[], last: number, paused: boolean) {
  const [state, setState] = useState<State>("connecting");
  const [error, setError] = useState<Error>();
  const [shown, setShown] = useState<Shown>(NOTHING);
  const [waiting, setWaiting] = useState(0);
  const [malformed, setMalformed] = useState(0);
  const ring = useRef(new Ring(KEPT));
  const isPaused = useRef(paused);
  isPaused.current = paused;
  const asked = JSON.stringify([filters, last]);

  useEffect(() => {
    ring.current = new Ring(KEPT);
    setShown(NOTHING);
    const stop = new AbortController();
    let frame = 0;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let shownAt = 0;
    let recent: [number, number][] = [];
    const show = () => {
      frame = 0;
      const { entries, received, lost, evicted } = ring.current;
      const now = performance.now();
      recent = [...recent.filter(([at]) => now - at < 5000), [now, received]];
      const [start] = recent;
      const perSecond = now > start![0] ? ((received - start![1]) * 1000) / (now - start![0]) : 0;
      if (isPaused.current && shownAt > 0) setWaiting(received - shownAt);
      else {
        shownAt = received;
        setWaiting(0);
        setShown({ entries, received, lost, evicted, perSecond });
      }
    };
    const run = async (lastNow: number) => {
      setState("connecting");
      const url = address("records", [...query(filters), ["last", String(lastNow)], ["follow", "1"]]);
      try {
        await follow(
          url,
          stop.signal,
          () => {
            setState("open");
            setError(undefined);
          },
          (lines, wrong) => {
            ring.current.push(lines);
            setMalformed(wrong);
            if (frame === 0) frame = requestAnimationFrame(show);
          },
        );
        if (!stop.signal.aborted) {
          setState("ended");
          retry = setTimeout(() => void run(0), RETRY_MS);
        }
      } catch (caught) {
        if (stop.signal.aborted || isAbort(caught)) return;
        setState("failed");
        const known = caught instanceof Error ? caught : new Error(String(caught));
        setError(known);
        // A wrong filter stays wrong; a hub that is away comes back.
        const status = (known as { status?: number }).status ?? 0;
        if (status < 400 || status >= 500)
          retry = setTimeout(() => void run(ring.current.received ? 0 : last), RETRY_MS);
      }
    };
    void run(last);
    return () => {
      stop.abort();
      clearTimeout(retry);
      cancelAnimationFrame(frame);
    };
  }, [asked]);

  useEffect(() => {
    if (paused) return;
    const { entries, received, lost, evicted } = ring.current;
    setWaiting(0);
    setShown((old) => ({ ...old, entries, received, lost, evicted }));
  }, [paused]);
  return { state, error, shown, waiting, malformed };
}

const STATES: Record<State, string> = {
  connecting: "○ connecting",
  open: "● live",
  ended: "○ ended; connecting again",
  failed: "✕ not connected",
};

export function RecordsPage() {
  const { filters, paused, last } = place.value;
  const { state, error, shown, waiting, malformed } = useStream(filters, last, paused);
  useKeys([
    { keys: "p", title: "Pause or go on", run: () => go({ paused: !paused }, true) },
    { keys: "/", title: "Add a filter", run: () => document.getElementById("filter")?.focus() },
    { keys: "x", title: "Failures only", run: () => go({ filters: flipped(filters) }) },
  ]);
  const set = (next: Filter[]) => go({ filters: next });
  return (
    <>
      <div class="bar" role="toolbar" aria-label="Records">
        <button
          type="button"
          class="wide"
          aria-pressed={paused}
          title="p"
          onClick={() => go({ paused: !paused }, true)}
        >
          {paused ? "▶ Go on" : "❚❚ Pause"}
        </button>
        <button type="button" title="x" aria-pressed={filters.some(isFailures)} onClick={() => set(flipped(filters))}>
          ▲ Failures only
        </button>
        {filters.map((filter, place) => (
          <span class="chip" key={`${filter.key}${filter.value}${place}`}>
            <button
              type="button"
              class="plain"
              title="Invert"
              onClick={() => set(filters.map((one, at) => (at === place ? { ...one, not: !one.not } : one)))}
            >
              {filter.not ? "not" : "is"}
            </button>
            {filter.key.replaceAll("_", " ")} {filter.value}
            <button
              type="button"
              class="plain"
              aria-label={`Remove filter ${filter.key} ${filter.value}`}
              onClick={() => set(filters.filter((_, at) => at !== place))}
            >
              ×
            </button>
          </span>
        ))}
        <NewFilter add={(filter) => set([...filters, filter])} />
        <span class="grow" />
        <span role="status" class="row">
          <span class={state === "failed" ? "bad" : state === "open" ? "good" : "muted"}>{STATES[state]}</span>
          <span class="muted">
            {paused ? `paused, ${whole(waiting)} new` : `${count(Math.round(shown.perSecond))}/s`} ·{" "}
            {whole(shown.received)} received
          </span>
          <span class={shown.lost > 0 ? "warn" : "muted"}>
            {shown.lost > 0 ? "▲ " : ""}
            {whole(shown.lost)} lost
          </span>
          {shown.evicted > 0 ? <span class="muted">{whole(shown.evicted)} older let go</span> : null}
          {malformed > 0 ? <span class="bad">▲ {whole(malformed)} unreadable</span> : null}
        </span>
      </div>
      <Failure error={error} />
      <RecordList
        label="Records"
        entries={shown.entries}
        empty={state === "open" ? "Nothing yet that the filters let through." : STATES[state]}
        onAway={() => {
          if (!place.value.paused) go({ paused: true }, true);
        }}
      />
      <div class="foot muted">
        <span>The same in a terminal:</span> <code class="mono">{command(filters)}</code>
      </div>
    </>
  );
}

function isFailures(filter: Filter): boolean {
  return filter.key === "verdict" && filter.value === "error" && !filter.not;
}

function flipped(filters: readonly Filter[]): Filter[] {
  return filters.some(isFailures)
    ? filters.filter((filter) => !isFailures(filter))
    : [...filters, { key: "verdict", value: "error", not: false }];
}

function NewFilter({ add }: { add: (filter: Filter) => void }) {
  const [key, setKey] = useState("namespace");
  const [text, setText] = useState("");
  const known = KEYS.find(({ name }) => name === key)!;
  const choices = key === "kind" ? kindsOf(measures.value) : (known.choices ?? []);
  return (
    <form
      class="joined"
      onSubmit={(event) => {
        event.preventDefault();
        const value = text.trim();
        if (value === "") return;
        // Typed whole, as on the command line, or just the value.
        add(typed(value) ?? { key, value: value.replace(/^!/, ""), not: value.startsWith("!") });
        setText("");
      }}
    >
      <select aria-label="Filter" value={key} onChange={(event) => setKey(event.currentTarget.value)}>
        {KEYS.map(({ name }) => (
          <option key={name} value={name}>
            {name.replaceAll("_", " ")}
          </option>
        ))}
      </select>
      <input
        id="filter"
        aria-label={`Filter: ${known.help}`}
        title={`${known.help}; ! before it inverts`}
        placeholder={choices.length > 0 ? choices.join(" ") : known.value}
        list="choices"
        value={text}
        spellcheck={false}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <datalist id="choices">
        {choices.map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <button type="submit">Add</button>
    </form>
  );
}
