/**
 * `bun --preload tests/simulator/mutate.ts ...` with `UNDERPASS_MUTANT=NAME`: loads the sources with that fault in
 * them. So the product needs no hooks. Exit code 3: the fault can't be put in any more, as its source has changed.
 */
import { plugin } from "bun";
import { mutants } from "./mutants.ts";

const name = process.env["UNDERPASS_MUTANT"];
const mutant = mutants.find((one) => one.name === name);
const root = new URL("../..", import.meta.url).pathname;

function giveUp(why: string): never {
  console.error(`Mutant "${name}": ${why}`);
  process.exit(3);
}

if (mutant === undefined) giveUp("there is none of that name");
const path = root + mutant.file;
const source = await Bun.file(path).text();
const parts = source.split(mutant.search);
if (parts.length !== 2) giveUp(`its text stands ${parts.length - 1} times in ${mutant.file}`);
const contents = parts.join(mutant.replace);
let loaded = false;

plugin({
  name: "mutant",
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path: file }) => {
      if (file !== path) return { contents: await Bun.file(file).text(), loader: "ts" };
      loaded = true;
      return { contents, loader: "ts" };
    });
  },
});

process.on("exit", () => {
  if (!loaded) giveUp(`${mutant.file} was not loaded`);
});
