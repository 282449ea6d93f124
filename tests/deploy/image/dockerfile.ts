import { DockerfileParser, type Instruction } from "dockerfile-ast";

/** What changes a file system, in the order of the file. */
export type Step =
  | {
      readonly kind: "copy";
      /** An earlier stage; absent: the build context. */
      readonly from?: string;
      /** `UID:GID`; what is copied belongs to root else. */
      readonly chown?: string;
      readonly sources: readonly string[];
      readonly target: string;
      readonly folder: string;
    }
  | { readonly kind: "run"; readonly command: string; readonly folder: string };

/** What an image says about its containers. */
export interface ImageConfig {
  readonly env: Record<string, string>;
  user: string;
  folder: string;
  ports: readonly number[];
  volumes: readonly string[];
  stopSignal: string;
  entrypoint: readonly string[];
  health: readonly string[];
}

export interface Stage {
  /** `scratch`, an earlier stage, or an image of a registry. */
  readonly base: string;
  readonly name: string | undefined;
  readonly steps: Step[];
  readonly config: ImageConfig;
}

/** A Dockerfile as its stages. Throws at every instruction, flag and form that it does not obey: none is passed over. */
export function readDockerfile(text: string): Stage[] {
  const stages: Stage[] = [];
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    const words = instruction.getArguments().map((word) => word.getValue());
    const refuse = (why: string): never => {
      throw new Error(`${instruction.getKeyword()} ${instruction.getArgumentsContent()}: ${why}`);
    };
    const flags = flagsOf(instruction);
    if (instruction.getKeyword() === "FROM") {
      const [base = "", as, name] = words;
      if (flags.size > 0) refuse("flags are not known here");
      if (words.length !== 1 && (words.length !== 3 || as !== "AS")) refuse("not IMAGE [AS NAME]");
      stages.push({ base, name, steps: [], config: emptyConfig() });
      continue;
    }
    const stage = stages.at(-1) ?? refuse("before FROM");
    if (/\$/.test(words.join(" ")) && instruction.getKeyword() !== "RUN")
      refuse("variables are not known here");
    obey(instruction, { stage, words, flags, refuse });
    if (flags.size > 0) refuse(`unknown flags ${[...flags.keys()].join(", ")}`);
  }
  return stages;
}

interface Given {
  readonly stage: Stage;
  readonly words: readonly string[];
  /** What is understood is taken out. */
  readonly flags: Map<string, string>;
  refuse(why: string): never;
}

function obey(instruction: Instruction, { stage, words, flags, refuse }: Given): void {
  const { config, steps } = stage;
  const [only = ""] = words.length === 1 ? words : [];
  const raw = instruction.getArgumentsContent() ?? "";
  switch (instruction.getKeyword()) {
    case "WORKDIR":
      config.folder = only.startsWith("/") ? only : refuse("not one absolute path");
      return;
    case "COPY": {
      const [from, chown] = [take(flags, "from"), take(flags, "chown")];
      if (words.length < 2 || raw.startsWith("[")) refuse("not SOURCE... TARGET");
      if (chown !== undefined && !/^\d+:\d+$/.test(chown)) refuse("--chown is not UID:GID");
      steps.push({
        kind: "copy",
        ...(from !== undefined && { from }),
        ...(chown !== undefined && { chown }),
        sources: words.slice(0, -1),
        target: words.at(-1) ?? "",
        folder: config.folder,
      });
      return;
    }
    case "RUN":
      if (raw.startsWith("[") || raw.includes("<<")) refuse("not in the shell's form");
      steps.push({ kind: "run", command: raw, folder: config.folder });
      return;
    case "ENV":
      for (const word of words) {
        const [, name, value] = /^(\w+)=([^"'\\]*)$/.exec(word) ?? refuse("not NAME=VALUE");
        config.env[name ?? ""] = value ?? "";
      }
      return;
    case "USER":
      config.user = /^\d+:\d+$/.test(only) ? only : refuse("not UID:GID");
      return;
    case "EXPOSE":
      config.ports = words.map((word) => (/^\d+$/.test(word) ? Number(word) : refuse("not a port")));
      return;
    case "VOLUME":
      config.volumes = words.every((word) => word.startsWith("/")) ? words : refuse("not paths");
      return;
    case "STOPSIGNAL":
      config.stopSignal = /^SIG[A-Z]+$/.test(only) ? only : refuse("not a signal's name");
      return;
    case "HEALTHCHECK":
      for (const name of ["interval", "timeout", "start-period"])
        if (!/^\d+s$/.test(take(flags, name) ?? "1s")) refuse(`--${name} is not in seconds`);
      if (!/^\d+$/.test(take(flags, "retries") ?? "1")) refuse("--retries is no number");
      config.health = list(raw.startsWith("CMD ") ? raw.slice(4) : refuse("not CMD"), refuse);
      return;
    case "ENTRYPOINT":
      config.entrypoint = list(raw, refuse);
      return;
    default:
      refuse("an instruction that this reader does not know");
  }
}

/** The exec form: without a shell between, which would not pass signals on. */
function list(text: string, refuse: Given["refuse"]): string[] {
  const found: unknown = text.startsWith("[") ? JSON.parse(text) : undefined;
  const isList = Array.isArray(found) && found.every((word) => typeof word === "string");
  return isList ? found : refuse('not in the form ["PROGRAM", ...]');
}

function take(flags: Map<string, string>, name: string): string | undefined {
  const value = flags.get(name);
  flags.delete(name);
  return value;
}

interface Flag {
  getName(): string;
  getValue(): string | null;
}

/** The parser has flags only where an instruction may have some, and says so in no type. */
function flagsOf(instruction: Instruction & { getFlags?: () => Flag[] }): Map<string, string> {
  return new Map(instruction.getFlags?.().map((flag) => [flag.getName(), flag.getValue() ?? ""]));
}

function emptyConfig(): ImageConfig {
  return {
    env: {},
    user: "0:0",
    folder: "/",
    ports: [],
    volumes: [],
    stopSignal: "SIGTERM",
    entrypoint: [],
    health: [],
  };
}
