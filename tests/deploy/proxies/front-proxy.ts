import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { makeCertificate } from "../../blackbox/origins/tls.ts";
import { freePort } from "../../blackbox/programs/free-port.ts";
import { installed } from "../../blackbox/programs/installed.ts";
import { Program } from "../../blackbox/programs/program.ts";
import { projectRoot } from "../../blackbox/programs/relay.ts";
import { run } from "../../blackbox/programs/run.ts";

const limitMs = 30_000;
/** What the examples' domain becomes. Agents call 127.0.0.1: not every machine resolves names under localhost. */
export const frontDomain = "tunnels.localhost";

/** A proxy program, and how the example in deploy/ becomes one that runs here. */
export interface ProxyProgram {
  readonly name: string;
  readonly binary: string | undefined;
  /** In deploy/. */
  readonly file: string;
  /** What ends it at once, whatever goes through it. nginx's workers would outlive a SIGKILL. */
  readonly dies: NodeJS.Signals;
  /** Whether what is open outlives a reload. */
  readonly reload: "keeps" | "cuts";
  /** What of the example is of its place, and what it becomes: each stands in it at least once. */
  changes(place: Place): readonly (readonly [string, string])[];
  /** Its whole configuration, by file names; `deploy` is the example's path. */
  settings(place: Place, deploy: string): Readonly<Record<string, string>>;
  start(place: Place): readonly string[];
  /** What it says once it listens, again after each reload. */
  readonly listens: string;
  tellsToReload(place: Place): readonly string[];
}

export interface Place {
  readonly binary: string;
  /** With `chain.pem` and `key.pem`, and room for what it writes. */
  readonly folder: string;
  /** `HOST:PORT`; of several, with spaces between. */
  readonly relay: string;
  readonly http: number;
  readonly https: number;
}

/** A proxy with TLS before a relay, as deploy/ has it. */
export class FrontProxy {
  #program: Program | undefined;

  private constructor(
    private readonly proxy: ProxyProgram,
    private readonly place: Place,
    /** PEM of what vouches for it. */
    readonly ca: string,
    /** The same as a file. */
    readonly caFile: string,
    private readonly keys: string,
  ) {}

  /** `relay` is its address, `https` the port that its --public-url names. */
  static async start(proxy: ProxyProgram, relay: string, https: number): Promise<FrontProxy> {
    const folder = await mkdtemp(join(tmpdir(), `underpass-${proxy.name}-`));
    const {
      folder: keys,
      key,
      cert,
    } = await makeCertificate(`DNS:${frontDomain},DNS:*.${frontDomain},IP:127.0.0.1`);
    await copyFile(key, join(folder, "key.pem"));
    await copyFile(cert, join(folder, "chain.pem"));
    const place: Place = {
      ...{ binary: proxy.binary ?? proxy.name, folder, relay, https, http: await freePort() },
    };
    let example = await readFile(join(projectRoot, "deploy", proxy.file), "utf8");
    for (const [from, to] of proxy.changes(place)) {
      if (!example.includes(from)) throw new Error(`deploy/${proxy.file} has no ${from}`);
      example = example.replaceAll(from, to);
    }
    const deploy = join(folder, `deploy-${basename(proxy.file)}`);
    await writeFile(deploy, example);
    for (const [name, text] of Object.entries(proxy.settings(place, deploy)))
      await writeFile(join(folder, name), text);
    const front = new FrontProxy(proxy, place, await readFile(cert, "utf8"), cert, keys);
    await front.run();
    return front;
  }

  get http(): number {
    return this.place.http;
  }

  /** Starts it, again after `kill`. */
  async run(): Promise<void> {
    const { folder } = this.place;
    const env = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
    this.#program = new Program(this.proxy.start(this.place), { env });
    await this.#program.output((_, stderr) => stderr.includes(this.proxy.listens));
  }

  async kill(): Promise<void> {
    this.#program?.signal(this.proxy.dies);
    await this.#program?.exit();
  }

  async reload(): Promise<void> {
    const before = this.#program?.stderr.length ?? 0;
    await run(this.proxy.tellsToReload(this.place), { limitMs });
    await this.#program?.output((_, stderr) => stderr.slice(before).includes(this.proxy.listens));
  }

  async close(): Promise<void> {
    await this.kill();
    for (const folder of [this.place.folder, this.keys]) await rm(folder, { recursive: true, force: true });
  }
}

export const nginx: ProxyProgram = {
  name: "nginx",
  binary: installed("nginx"),
  file: "nginx.conf",
  dies: "SIGTERM",
  reload: "keeps",
  changes: ({ folder, relay, http, https }) => [
    ["/etc/underpass/tls", folder],
    ["127.0.0.1:8787", relay],
    ["listen 80;", `listen 127.0.0.1:${http};`],
    ["listen 443 ", `listen 127.0.0.1:${https} `],
    ["tunnels.example", frontDomain],
  ],
  settings: ({ folder }, deploy) => {
    const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    const temporary = kinds.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(" ");
    const user = process.getuid?.() === 0 ? "user root;" : "";
    const main = `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr notice; ${user}`;
    return { "main.conf": `${main}\nevents {}\nhttp { ${temporary} access_log off; include ${deploy}; }\n` };
  },
  start: ({ binary, folder }) => [binary, "-p", folder, "-e", "stderr", "-c", join(folder, "main.conf")],
  listens: "start worker process ",
  tellsToReload: ({ binary, folder }) => [
    ...[binary, "-p", folder, "-e", "stderr", "-c", join(folder, "main.conf")],
    ...["-s", "reload"],
  ],
};

export const caddy: ProxyProgram = {
  name: "caddy",
  binary: installed("caddy"),
  file: "Caddyfile",
  dies: "SIGKILL",
  reload: "cuts",
  changes: ({ folder, relay }) => [
    ["/etc/underpass/tls", folder],
    ["127.0.0.1:8787", relay],
    ["tunnels.example, ", "127.0.0.1, tunnels.example, "],
    ["tunnels.example", frontDomain],
  ],
  settings: ({ folder, http, https }, deploy) => {
    const options = [
      ...[`admin unix/${folder}/admin`],
      ...[`http_port ${http}`, `https_port ${https}`, "default_bind 127.0.0.1"],
    ];
    return { Caddyfile: `{\n\t${options.join("\n\t")}\n}\nimport ${deploy}\n` };
  },
  start: ({ binary, folder }) => [
    binary,
    "run",
    "--config",
    join(folder, "Caddyfile"),
    "--adapter",
    "caddyfile",
  ],
  listens: "autosaved config",
  tellsToReload: ({ binary, folder }) => [
    ...[binary, "reload", "--force", "--address", `unix/${folder}/admin`],
    ...["--config", join(folder, "Caddyfile"), "--adapter", "caddyfile"],
  ],
};

/** Before the relays of deploy/cluster/compose.yaml: `relay` is their addresses, with spaces between. */
export const clusterCaddy: ProxyProgram = {
  ...caddy,
  file: "cluster/Caddyfile",
  changes: (place) => [
    ["relay-1:8787 relay-2:8787 relay-3:8787", place.relay],
    ...caddy.changes(place).filter(([from]) => from !== "127.0.0.1:8787"),
  ],
};
