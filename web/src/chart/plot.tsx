// A chart of one measure over time: uPlot, in the page's colours. Lines differ by dash as well as by colour; what is
// absent is a gap, never zero.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { theme } from "../state/place.ts";
import { alone } from "./signal.ts";

export interface Line {
  title: string;
  values: (number | null)[];
  /** Place among the lines of a chart: gives colour and dash. */
  tone: 0 | 1 | 2 | "bad";
  /** Of the compared range: thin and faint. */
  before?: boolean;
}

interface Props {
  label: string;
  /** Seconds since 1970. */
  times: number[];
  lines: Line[];
  format: (value: number | null | undefined) => string;
  /** Ticks at powers of two: what is counted in KiB. */
  binary: boolean;
  onRange: (since_s: number, until_s: number) => void;
}

const DASHES: Record<string, number[]> = { "0": [], "1": [7, 3], "2": [2, 3], bad: [] };
const HEIGHT = 150;
const BINARY = Array.from({ length: 50 }, (_, power) => 2 ** power);
const DAY_S = 86_400;

/** Hours and minutes; days where there are several, seconds where there are few minutes. */
function clocks(times_s: readonly number[]): string[] {
  const two = (value: number) => String(value).padStart(2, "0");
  const first = times_s[0] ?? 0;
  const last = times_s.at(-1) ?? first;
  const step = times_s.length > 1 ? times_s[1]! - first : 1;
  return times_s.map((time_s) => {
    const time = new Date(time_s * 1000);
    const day = `${two(time.getMonth() + 1)}-${two(time.getDate())}`;
    if (step >= DAY_S) return day;
    const clock = `${two(time.getHours())}:${two(time.getMinutes())}`;
    if (last - first > DAY_S) return `${day} ${clock}`;
    return step < 60 ? `${clock}:${two(time.getSeconds())}` : clock;
  });
}

export function Plot({ label, times, lines, format, binary, onRange }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const latest = useRef({ format, onRange });
  latest.current = { format, onRange };
  const plot = useRef<uPlot | undefined>(undefined);
  const shape = JSON.stringify([lines.map(({ title, tone, before }) => [title, tone, before]), theme.value]);

  useEffect(() => {
    const element = box.current!;
    const style = getComputedStyle(document.documentElement);
    const token = (name: string) => style.getPropertyValue(name).trim();
    const tones: Record<string, string> = {
      "0": token("--accent"),
      "1": token("--good"),
      "2": token("--warn"),
      bad: token("--bad"),
    };
    const font = `11px ${token("--sans")}`;
    const axis = {
      stroke: token("--muted"),
      grid: { stroke: token("--line"), width: 1 },
      ticks: { stroke: token("--line"), width: 1, size: 4 },
      font,
    };
    const made = new uPlot(
      {
        width: Math.max(200, element.clientWidth),
        height: HEIGHT,
        cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "workload" }, points: { size: 5 } },
        legend: { live: true, markers: { show: false } },
        // A line at 0 stays at the bottom, and a flat one is not blown up to noise.
        scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
        axes: [
          { ...axis, size: 24, gap: 3, space: 70, values: (_, ticks) => clocks(ticks) },
          {
            ...axis,
            size: 74,
            gap: 4,
            values: (_, ticks) => ticks.map((tick) => latest.current.format(tick)),
            ...(binary ? { incrs: BINARY } : {}),
          },
        ],
        series: [
          { label: "Time", value: (_, time) => (time === null ? "" : clocks([time])[0]!) },
          ...lines.map((line) => ({
            label: line.title,
            stroke: line.before ? token("--muted") : tones[String(line.tone)]!,
            width: line.before ? 1 : 1.5,
            dash: line.before ? [2, 4] : DASHES[String(line.tone)]!,
            spanGaps: false,
            points: { show: true, size: 4, filter: (self: uPlot, place: number) => alone(self.data[place]!) },
            value: (_: uPlot, value: number | null) => latest.current.format(value),
          })),
        ],
        hooks: {
          setSelect: [
            (self) => {
              if (self.select.width < 6) return;
              const [from, to] = [self.select.left, self.select.left + self.select.width];
              latest.current.onRange(self.posToVal(from, "x"), self.posToVal(to, "x"));
              self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            },
          ],
        },
      },
      [times, ...lines.map(({ values }) => values)],
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: Math.max(200, element.clientWidth), height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape]);

  useEffect(() => plot.current?.setData([times, ...lines.map(({ values }) => values)]), [times, lines]);

  return <div class="plot" role="img" aria-label={label} ref={box} />;
}
