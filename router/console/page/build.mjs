// Writes index.html, one script and one style sheet into ../assets, or into the folder that is named. The same sources give the same bytes.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

const into = resolve(process.argv[2] ?? "../assets");
await mkdir(into, { recursive: true });
for (const name of await readdir(into)) await rm(join(into, name));

const { metafile } = await build({
  entryPoints: { console: "src/main.tsx" },
  outdir: into,
  entryNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  banner: { js: "/* Rheostat's console, with Preact and uPlot (MIT). Sources: router/console/page. */" },
  charset: "utf8",
  metafile: true,
});
const made = Object.keys(metafile.outputs).map((path) => basename(path));
const named = (ending) => made.find((name) => name.endsWith(ending));
const page = await readFile("src/index.html", "utf8");
await writeFile(join(into, "index.html"), page.replace("console.js", named(".js")).replace("console.css", named(".css")));
