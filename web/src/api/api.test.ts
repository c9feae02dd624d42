import { afterEach, describe, expect, test, vi } from "vitest";
import { type ApiError, address, get } from "./client.ts";
import { follow, LineCutter } from "./lines.ts";

afterEach(() => vi.unstubAllGlobals());

function answers(body: BodyInit | null, init: ResponseInit = {}): void {
  vi.stubGlobal("fetch", async () => new Response(body, init));
}

async function failure(): Promise<ApiError> {
  return get("http://h/").then(
    () => expect.fail("no error"),
    (error: unknown) => error as ApiError,
  );
}

describe("addresses", () => {
  test("below wherever the page is, unknown left out, repeated kept", () => {
    const query = [
      ["since", "-15m"],
      ["namespace", "a b"],
      ["namespace", "c&d"],
      ["limit", undefined],
      ["group", ""],
    ] as const;
    expect(address("graph", query, "http://h/proxy/hub/?view=map")).toBe(
      "http://h/proxy/hub/api/v1/graph?since=-15m&namespace=a+b&namespace=c%26d",
    );
  });
});

describe("errors", () => {
  test("problem details as they are", async () => {
    answers(JSON.stringify({ title: "Bad Request", detail: "filter port: give a port from 1 to 65535" }), {
      status: 400,
    });
    const error = await failure();
    expect([error.status, error.message, error.detail]).toEqual([
      400,
      "Bad Request",
      "filter port: give a port from 1 to 65535",
    ]);
  });

  test("a proxy's page is not read out", async () => {
    answers("<html>…</html>", { status: 502, statusText: "Bad Gateway" });
    expect(await failure()).toMatchObject({ message: "502 Bad Gateway", detail: "" });
  });

  test("an answer that is not JSON", async () => {
    answers("hello");
    expect((await failure()).message).toContain("not JSON");
  });

  test("nobody there", async () => {
    vi.stubGlobal("fetch", async () => {
      throw new TypeError("Failed to fetch");
    });
    expect((await failure()).message).toBe("The hub does not answer");
  });
});

describe("lines", () => {
  test("cut wherever the chunks end", () => {
    const text = '{"a":1}\n\n{"b":"ü"}\n{"c":3}\n';
    for (let size = 1; size < text.length; size++) {
      const cutter = new LineCutter();
      const found: unknown[] = [];
      for (let at = 0; at < text.length; at += size) found.push(...cutter.push(text.slice(at, at + size)));
      expect(found).toEqual([{ a: 1 }, { b: "ü" }, { c: 3 }]);
      expect(cutter.malformed).toBe(0);
    }
  });

  test("what is no record is counted", () => {
    const cutter = new LineCutter();
    expect(cutter.push('{"a":1}\n{"a":\n7\nnull\n{"b":2}\n')).toEqual([{ a: 1 }, { b: 2 }]);
    expect(cutter.malformed).toBe(3);
    cutter.push("x".repeat((1 << 20) + 1));
    expect(cutter.malformed).toBe(4);
  });

  test("a stream, with a last line that has no end", async () => {
    const bytes = new TextEncoder().encode('{"a":"ü"}\n{"b":2}');
    const body = new ReadableStream({
      start(controller) {
        // In the middle of a letter.
        controller.enqueue(bytes.slice(0, 7));
        controller.enqueue(bytes.slice(7));
        controller.close();
      },
    });
    answers(body);
    const found: unknown[] = [];
    await follow(
      "http://h/",
      new AbortController().signal,
      () => {},
      (lines) => found.push(...lines),
    );
    expect(found).toEqual([{ a: "ü" }, { b: 2 }]);
  });
});
