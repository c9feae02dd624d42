// What a page asks of the hub: loaded, refreshed, cancelled, and kept in sight while the next answer is under way.

import { useEffect, useRef, useState } from "preact/hooks";
import { isAbort } from "../api/client.ts";

export interface Resource<T> {
  data: T | undefined;
  error: Error | undefined;
  loading: boolean;
  /** When `data` arrived, in milliseconds since 1970. */
  at: number;
  reload: () => void;
}

/** Calls `then` every so many seconds while somebody looks at the page. */
export function useTick(seconds: number, then: () => void): void {
  const latest = useRef(then);
  latest.current = then;
  useEffect(() => {
    if (seconds <= 0) return;
    let due = false;
    const tick = () => {
      due = document.hidden;
      if (!due) latest.current();
    };
    const seen = () => {
      if (due) tick();
    };
    const timer = setInterval(tick, seconds * 1000);
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [seconds]);
}

/** `key` names the request: another key forgets the old answer's errors, an empty one asks for nothing. */
export function useResource<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  refreshSeconds: number,
): Resource<T> {
  const [state, setState] = useState<Omit<Resource<T>, "reload">>({
    data: undefined,
    error: undefined,
    loading: true,
    at: 0,
  });
  const latest = useRef(load);
  latest.current = load;
  const running = useRef<AbortController | undefined>(undefined);

  const start = () => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState((old) => ({ ...old, loading: true }));
    latest.current(controller.signal).then(
      (data) => {
        if (controller.signal.aborted) return;
        running.current = undefined;
        setState({ data, error: undefined, loading: false, at: Date.now() });
      },
      (error: unknown) => {
        if (controller.signal.aborted || isAbort(error)) return;
        running.current = undefined;
        const shown = error instanceof Error ? error : new Error(String(error));
        setState((old) => ({ ...old, error: shown, loading: false }));
      },
    );
  };

  useEffect(() => {
    if (key === "") return;
    start();
    return () => running.current?.abort();
  }, [key]);

  // A slow answer is waited for, not asked for again.
  useTick(key === "" ? 0 : refreshSeconds, () => {
    if (!running.current) start();
  });
  return { ...state, reload: start };
}
