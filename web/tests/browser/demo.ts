// A real hub for the tests: the demo's, with an agent, a cluster and its traffic. Needs root, BPF and a built binary.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const TRIPLE = `${process.arch === "arm64" ? "aarch64" : "x86_64"}-unknown-linux-gnu`;
const BINARY = resolve(process.env.AMPHIPOD ?? `../target/${TRIPLE}/debug/amphipod`);
const IS_ROOT = process.getuid?.() === 0;
/** It ends by itself even if nobody is left to end it. */
const MOST_SECONDS = 900;
const STOP_MS = 60_000;

export interface Demo {
  url: string;
  stop(): Promise<void>;
}

export async function startDemo(): Promise<Demo> {
  if (!existsSync(BINARY))
    throw new Error(`${BINARY} is missing: cargo build --workspace, or name another in AMPHIPOD`);
  const directory = mkdtempSync(join(tmpdir(), "amphipod-demo-"));
  // Nothing of it is where another demo or an agent is.
  const places = ["--listen", "127.0.0.1:0", "--hubble", "127.0.0.1:0", "--socket", join(directory, "agent.sock")];
  const [program, ...args] = asRoot(BINARY, "demo", ...places, "--seconds", String(MOST_SECONDS));
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const interrupt = () => signal(child, "INT");
  process.once("exit", interrupt);
  let complaints = "";
  child.stderr.on("data", (text) => {
    complaints = (complaints + text).slice(-4000);
  });
  const ended = new Promise<string>((done) => {
    child.once("error", (error) => done(error.message));
    child.once("exit", (code, signal) => done(`ended with ${code ?? signal}`));
  });
  const stop = async () => {
    process.off("exit", interrupt);
    interrupt();
    const late = setTimeout(() => signal(child, "KILL"), STOP_MS);
    const how = await ended;
    clearTimeout(late);
    rmSync(directory, { recursive: true, force: true });
    if (how !== "ended with 0") throw new Error(`amphipod demo ${how}; it said:\n${complaints}`);
  };

  const lines = createInterface({ input: child.stdout });
  const told = new Promise<string>((found) => {
    lines.on("line", (line) => {
      const [, url] = /^The cluster in a browser: (http\S+)/.exec(line) ?? [];
      if (url) found(url);
    });
  });
  const url = await Promise.race([told, ended.then(() => undefined)]);
  if (url === undefined) await stop();
  return { url: url!, stop };
}

function asRoot(program: string, ...args: string[]): [string, ...string[]] {
  return IS_ROOT ? [program, ...args] : ["sudo", program, ...args];
}

/** By its pid; as root where it is root's. */
function signal(child: ChildProcess, name: "INT" | "KILL"): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const [program, ...args] = asRoot("kill", `-${name}`, String(child.pid));
  spawnSync(program, args);
}
