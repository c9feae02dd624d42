import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { Mock, type MockOptions } from "./mock/server.ts";

// `npm run dev` has a made-up cluster behind it; AMPHIPOD_HUB=http://127.0.0.1:7171 puts a real hub there.
const hub = process.env.AMPHIPOD_HUB;

function mock(options: MockOptions): Plugin {
  return {
    name: "mock-hub",
    configureServer(server) {
      const made = new Mock(options);
      server.middlewares.use((request, response, next) => {
        if (!made.serve(request, response)) next();
      });
    },
  };
}

/** What is built in, and under which terms: they ask that whoever gets a copy gets these as well. */
const BUNDLED = ["preact", "@preact/signals", "@preact/signals-core", "uplot"];

function licences(): Plugin {
  return {
    name: "licences",
    generateBundle() {
      const source = BUNDLED.map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8")}`);
      this.emitFile({ type: "asset", fileName: "licences.txt", source: source.join("\n\n") });
    },
  };
}

export default defineConfig(({ command }) => ({
  // The page works below whatever path it is served at.
  base: "./",
  plugins:
    command === "serve" && !hub && !process.env.VITEST
      ? [mock({ services: Number(process.env.SERVICES ?? 120), missing: true })]
      : [licences()],
  server: hub ? { proxy: { "/api": hub } } : {},
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false },
  worker: { format: "es" },
  test: {
    projects: [
      { extends: true, test: { name: "pure", include: ["src/**/*.test.ts", "mock/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "browser",
          include: ["tests/browser/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
}));
