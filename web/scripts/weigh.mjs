// What a reader has to fetch: every built file, gzipped, and the part that the first page needs.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_BYTES = 400_000;
const files = readdirSync("dist", { recursive: true })
  .map((name) => join("dist", String(name)))
  .filter((path) => statSync(path).isFile());
let total = 0;
for (const path of files.sort()) {
  const bytes = gzipSync(readFileSync(path), { level: 9 }).length;
  total += bytes;
  console.log(`${String(bytes).padStart(8)}  ${path}`);
}
console.log(`${String(total).padStart(8)}  in all, gzipped (limit ${LIMIT_BYTES})`);
if (total > LIMIT_BYTES) process.exit(1);
