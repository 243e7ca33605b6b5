// Bundles src/ into ../static, which is committed so that running the workspace needs no Node.
// The same package-lock.json gives the same bytes: a test rebuilds and compares.
import { build } from "esbuild";
import { cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "..", "static");
await mkdir(target, { recursive: true });

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: [
    { in: "src/main.tsx", out: "app" },
    { in: "src/styles/index.css", out: "app" },
  ],
  outdir: target,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome120", "firefox121", "safari17"],
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "none", // LICENSES.txt carries them
  charset: "utf8",
  loader: { ".woff2": "file" },
  assetNames: "[name]",
  metafile: true,
  logLevel: "warning",
});
for (const name of ["index.html", "icon.svg"]) await cp(join(here, "src", name), join(target, name));
await writeFile(join(target, "LICENSES.txt"), await licences(Object.keys(metafile.inputs)));

/** The name, version, licence and licence text of every package that went into the bundle. */
async function licences(inputs) {
  const folders = new Set();
  for (const input of inputs) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) folders.add(found[1]);
  }
  const parts = ["The page's bundle (app.js, app.css) contains these packages.\n"];
  for (const folder of [...folders].sort()) {
    const pkg = JSON.parse(await readFile(join(here, folder, "package.json"), "utf8"));
    const file = (await readdir(join(here, folder))).sort().find((name) => /^licen[cs]e/i.test(name));
    const text = file ? await readFile(join(here, folder, file), "utf8") : "(no licence file in the package)";
    parts.push(
      `${"=".repeat(78)}\n${pkg.name} ${pkg.version} (${pkg.license})\n\n${text.replaceAll("\r", "").trim()}\n`,
    );
  }
  return parts.join("\n");
}
