// Builds devbench/forms/echarts/echarts.js.gz with its licence: `npm ci && npm run build` in this folder.
// `npm run check` builds again and compares the SHA-256 of the unpacked file with echarts.sha256.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "..", "devbench", "forms", "echarts");
const library = join(here, "node_modules", "echarts");
const made = await build({
  entryPoints: [join(here, "entry.js")],
  bundle: true,
  format: "iife",
  minify: true,
  target: "es2020",
  charset: "ascii",
  legalComments: "none",
  define: { "process.env.NODE_ENV": '"production"' },
  write: false,
});
// The text stands in a <script> of a page: nothing in it may end that element.
const text = made.outputFiles[0].text.replaceAll("</script", "<\\/script");
const sha256 = createHash("sha256").update(text).digest("hex");
const recorded = join(here, "echarts.sha256");
if (process.argv.includes("--check")) {
  const known = readFileSync(recorded, "utf8").trim();
  if (known !== sha256) {
    console.error(`echarts.sha256 has ${known}, the recipe makes ${sha256}: run npm run build, then the tests`);
    process.exit(1);
  }
} else {
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, "echarts.js.gz"), gzipSync(text, { level: 9 }));
  const licences = { LICENSE: library, NOTICE: library, "LICENSE-d3": join(library, "licenses") };
  for (const [name, folder] of Object.entries(licences)) copyFileSync(join(folder, name), join(target, name));
  copyFileSync(join(here, "node_modules", "zrender", "LICENSE"), join(target, "LICENSE-zrender"));
  writeFileSync(recorded, sha256 + "\n");
}
console.log(`${sha256}  ${text.length} bytes`);
