// Times of day for people, in the zone of whoever looks.

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** `12:34:56.789` of an RFC 3339 time, in local time. */
export function clock(text: string): string {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return text;
  const fraction = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${fraction}`;
}

/** `11-25 12:34:56`; the year too if it is another one. */
export function date(time_ms: number, now_ms: number): string {
  const time = new Date(time_ms);
  if (Number.isNaN(time_ms)) return "?";
  const day = `${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const year = time.getFullYear() === new Date(now_ms).getFullYear() ? "" : `${time.getFullYear()}-`;
  return `${year}${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

export function since(time_ms: number, now_ms: number): string {
  const seconds = Math.max(0, Math.round((now_ms - time_ms) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
