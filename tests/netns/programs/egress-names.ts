/**
 * In a network of its own, where this machine has public, private and link-local addresses, a web server on all of
 * them, and a DNS server that says what the tests want: what a real relay opens.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentProgram } from "../../blackbox/programs/agent.ts";
import { Program } from "../../blackbox/programs/program.ts";
import { startRelay } from "../../blackbox/programs/relay.ts";
import { Opener } from "../../blackbox/raw/opener.ts";
import { refusedTargets } from "../../shared/egress-targets.ts";
import { endWithParent } from "../inside.ts";
import { NameServer, type Zone } from "../name-server.ts";
import { runCommand } from "../namespace.ts";

export interface EgressNamesResult {
  /** Of the table: whatever was not refused. */
  readonly notRefused: readonly string[];
  readonly refused: number;
  /** By a name whose answers change: what came of each attempt. */
  readonly rebinding: readonly string[];
  readonly opened: Readonly<Record<string, string>>;
  /** What curl said of a redirect from a public place to a private one, and its exit code. */
  readonly redirect: { readonly exit: number; readonly out: string };
  /** Addresses of this machine that somebody reached. */
  readonly reached: readonly string[];
}

const publicAddress = "93.184.215.14";
const otherAddresses = [
  "10.0.0.1",
  "192.168.0.1",
  "172.16.0.1",
  "169.254.169.254",
  "100.64.0.1",
  "168.63.129.16",
];

if (Bun.argv[3] === "with-names") await main();
else await withNames();

/** Runs this script again where the system's resolver asks our DNS server. */
async function withNames(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "underpass-names-"));
  const files = {
    "/etc/resolv.conf": "nameserver 127.0.0.1\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
  };
  const mounts: string[] = [];
  for (const [path, text] of Object.entries(files)) {
    const own = join(folder, path.replaceAll("/", "_"));
    await writeFile(own, text);
    if (await Bun.file(path).exists()) mounts.push(`mount --bind ${own} ${path}`);
  }
  const child = Bun.spawn(
    [
      ...["unshare", "--mount", "sh", "-c", `${mounts.join(" && ")} && exec "$@"`, "sh"],
      ...[process.execPath, import.meta.path, Bun.argv[2] ?? "", "with-names"],
    ],
    { stdio: ["inherit", "inherit", "inherit"] },
  );
  const code = await child.exited;
  await rm(folder, { recursive: true, force: true });
  process.exit(code);
}

async function main(): Promise<void> {
  endWithParent();
  for (const address of [publicAddress, ...otherAddresses])
    await runCommand("ip", "address", "add", `${address}/32`, "dev", "lo");
  const reached = new Set<string>();
  const web = net.createServer((socket) => {
    reached.add(socket.localAddress?.replace("::ffff:", "") ?? "");
    socket.on("error", () => {});
    socket.once("data", () =>
      socket.end(
        "HTTP/1.1 302 Found\r\nLocation: http://db.internal/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
      ),
    );
  });
  await new Promise<void>((resolve) => web.listen(80, resolve));
  const zone: Record<string, Zone[string]> = {
    "public.example": [[publicAddress]],
    "mixed.example": [["10.0.0.1", publicAddress, "127.0.0.1", "::1"]],
    "rebind.example": [
      [publicAddress],
      ["10.0.0.1"],
      [publicAddress],
      ["127.0.0.1"],
      ["169.254.169.254"],
      [publicAddress],
    ],
    "granted.internal": [["10.0.0.1"]],
  };
  for (const { target, answers } of refusedTargets) {
    const name = target
      .normalize("NFKC")
      .toLowerCase()
      .replace(/\.?:\d+$/, "");
    // What is no address can't be in an answer.
    if (answers !== undefined)
      zone[name] = answers.map((list) => list.filter((address) => net.isIP(address) > 0));
  }
  const names = await NameServer.listen(zone, "127.0.0.1", 53);
  const relay = await startRelay();
  const asks = await Opener.connect(relay, await relay.token({ egress: ["*:*", "0.0.0.0/0:*", "[::]/0:*"] }));

  const notRefused: string[] = [];
  for (const { target, answers } of refusedTargets) {
    const { outcome } = await asks.udp(target);
    for (const told of [await asks.tcp(target), outcome]) {
      // A name all of whose answers were no addresses has none.
      const isRefused = told === "egress-denied" || (answers !== undefined && told === "origin-not-found");
      if (!isRefused) notRefused.push(`${target}: ${told}`);
    }
  }
  const leaked = [...reached];
  const rebinding: string[] = [];
  for (let attempt = 0; attempt < 6; attempt++) rebinding.push(await asks.tcp("rebind.example:80"));
  const opened: Record<string, string> = {};
  for (const target of [
    "public.example:80",
    `${publicAddress}:80`,
    "mixed.example:80",
    "granted.internal:80",
    "10.0.0.1:80",
  ])
    opened[target] = await asks.tcp(target);
  reached.delete(publicAddress);
  leaked.push(...reached);
  const byName = await Opener.connect(relay, await relay.token({ egress: ["granted.internal:80"] }));
  opened["granted.internal:80 by name"] = await byName.tcp("granted.internal:80");
  reached.delete("10.0.0.1");
  const redirect = await followRedirect(relay.url, await relay.token({ egress: ["*:*"] }));
  reached.delete(publicAddress);
  leaked.push(...reached);
  await asks.close();
  await byName.close();
  await relay.stop();
  names.close();
  web.close();
  const refused = refusedTargets.length * 2 - notRefused.length;
  const result: EgressNamesResult = { notRefused, refused, rebinding, opened, redirect, reached: leaked };
  console.log(JSON.stringify(result));
  process.exit(0);
}

async function followRedirect(relay: string, token: string): Promise<EgressNamesResult["redirect"]> {
  const proxy = agentProgram(["proxy", "--listen", "127.0.0.1:0", "--relay", relay, "--json"], {
    env: { UNDERPASS_TOKEN: token },
  });
  const ready = await proxy.event("ready");
  const curl = new Program([
    ...[
      "curl",
      "-q",
      "--silent",
      "--location",
      "--noproxy",
      "",
      "--write-out",
      "%{num_redirects} %{url_effective}",
    ],
    ...["--socks5-hostname", new URL(String(ready["url"])).host, "http://public.example/"],
  ]);
  const exit = await curl.exit();
  await proxy.kill();
  return { exit, out: curl.stdout };
}
