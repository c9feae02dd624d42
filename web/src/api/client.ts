// One door to the hub: addresses, errors, cancellation.

/** A request that did not come back as wished: what, and what to do, in one line each. */
export class ApiError extends Error {
  readonly status: number;
  readonly detail: string;

  constructor(status: number, title: string, detail: string) {
    super(title);
    this.name = "ApiError";
    this.status = status;
    this.detail = detail;
  }
}

export type Query = readonly (readonly [string, string | number | undefined])[];

/** Below wherever the page itself is served, so that a proxy may put the hub under any path. */
export function address(path: string, query: Query = [], base: string = document.baseURI): string {
  const url = new URL(`api/v1/${path}`, base);
  for (const [key, value] of query) {
    if (value !== undefined && value !== "") url.searchParams.append(key, String(value));
  }
  return url.href;
}

/** RFC 9457 where the answer is one; else whatever can be said of it. */
export async function problem(response: Response): Promise<ApiError> {
  const title = `${response.status} ${response.statusText}`.trim();
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text) as { title?: string; detail?: string };
    if (typeof body.title === "string" || typeof body.detail === "string") {
      return new ApiError(response.status, body.title ?? title, body.detail ?? "");
    }
  } catch {
    // Not JSON: a proxy's page, say.
  }
  return new ApiError(response.status, title, text.startsWith("<") ? "" : text.slice(0, 300));
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Errors of the network in words; the browser's own say only "failed to fetch". */
export function unreachable(error: unknown): unknown {
  return error instanceof TypeError
    ? new ApiError(0, "The hub does not answer", "Check that it runs and that this host reaches it; retrying.")
    : error;
}

export async function open(url: string, signal?: AbortSignal, accept = "application/json"): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal: signal ?? null, headers: { accept } });
  } catch (error) {
    throw unreachable(error);
  }
  if (!response.ok) throw await problem(response);
  return response;
}

export async function get<T>(url: string, signal?: AbortSignal): Promise<T> {
  const response = await open(url, signal);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(response.status, "The hub's answer is not JSON", "Is something else listening at this address?");
  }
}
