/**
 * In a network of its own, where this machine has addresses of many classes and a web server on all of them, another
 * one has a public address, and a DNS server says what the test wants: what a real relay opens.
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
import { Namespace, runCommand } from "../namespace.ts";

export interface EgressNamesResult {
  /** Of the table: whatever was not refused. */
  readonly notRefused: readonly string[];
  /** By a name whose answers change: what came of each attempt. */
  readonly rebinding: readonly string[];
  readonly opened: Readonly<Record<string, string>>;
  /** What curl said of a redirect from a public place to a private one, and its exit code. */
  readonly redirect: { readonly exit: number; readonly out: string };
  /** Addresses of this machine that were reached and should not have been. */
  readonly reached: readonly string[];
}

const publicAddress = "93.184.215.14";
/** This machine's. */
const ownAddresses = [
  "10.0.0.1",
  "192.168.0.1",
  "172.16.0.1",
  "169.254.169.254",
  "100.64.0.1",
  "168.63.129.16",
  // Public, but what listens there may count on a firewall that lets this machine itself in.
  "198.41.0.4",
] as const;

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
  for (const address of ownAddresses) await runCommand("ip", "address", "add", `${address}/32`, "dev", "lo");
  const far = await joinPublicHost();
  const reached = new Set<string>();
  const web = net.createServer((socket) => {
    reached.add(socket.localAddress?.replace("::ffff:", "") ?? "");
    socket.on("error", () => {});
    socket.once("data", () =>
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    );
  });
  await new Promise<void>((resolve) => web.listen(80, resolve));
  /** Addresses that were reached since the last time, less those that might be. */
  const reachedBut = async (...expected: readonly string[]): Promise<string[]> => {
    // Sockets are accepted in order, so that whoever came before this one has been seen.
    const last = net.connect({ host: "127.0.0.9", port: 80 });
    while (!reached.has("127.0.0.9")) await new Promise<void>((resolve) => setImmediate(resolve));
    last.destroy();
    const unexpected = [...reached].filter((address) => ![...expected, "127.0.0.9"].includes(address));
    reached.clear();
    return unexpected;
  };
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
    // An answer has addresses only, and no zones.
    const plain = (list: readonly string[]) =>
      list.map((text) => text.replace(/%.*/, "")).filter((text) => net.isIP(text));
    if (answers !== undefined) zone[name] = answers.map(plain);
  }
  const names = await NameServer.listen(zone, "127.0.0.1", 53);
  const relay = await startRelay({ net: "any" });
  const asks = await Opener.connect(relay, await relay.token({ egress: ["*:*", "0.0.0.0/0:*", "[::]/0:*"] }));

  const notRefused: string[] = [];
  const ask = async (target: string, by: "tcp" | "udp", hasNone: boolean): Promise<void> => {
    const told = by === "tcp" ? await asks.tcp(target) : (await asks.udp(target)).outcome;
    // A name all of whose answers were no addresses is not there.
    if (told !== (hasNone ? "origin-not-found" : "egress-denied"))
      notRefused.push(`${by} ${target}: ${told}`);
  };
  for (const { target, answers } of refusedTargets) {
    const hasNone = answers?.flat().some((text) => net.isIP(text)) === false;
    await ask(target, "tcp", hasNone);
    // Another look-up may find another answer.
    if (answers === undefined || answers.length === 1) await ask(target, "udp", hasNone);
  }
  const leaked = await reachedBut();
  const rebinding: string[] = [];
  for (let attempt = 0; attempt < 6; attempt++) rebinding.push(await asks.tcp("rebind.example:80"));
  const opened: Record<string, string> = {};
  for (const target of [
    "public.example:80",
    `${publicAddress}:80`,
    "mixed.example:80",
    "granted.internal:80",
    "10.0.0.1:80",
    "198.41.0.4:80",
  ])
    opened[target] = await asks.tcp(target);
  leaked.push(...(await reachedBut()));
  const byName = await Opener.connect(relay, await relay.token({ egress: ["granted.internal:80"] }));
  opened["granted.internal:80 by name"] = await byName.tcp("granted.internal:80");
  leaked.push(...(await reachedBut("10.0.0.1")));
  const redirect = await followRedirect(relay.url, await relay.token({ egress: ["*:*"] }));
  leaked.push(...(await reachedBut()));
  await asks.close();
  await byName.close();
  await relay.stop();
  names.close();
  web.close();
  far.close();
  const result: EgressNamesResult = { notRefused, rebinding, opened, redirect, reached: leaked };
  console.log(JSON.stringify(result));
  process.exit(0);
}

/** Another machine, at the public address, whose web sends visitors to a private name. */
async function joinPublicHost(): Promise<Namespace> {
  const far = await Namespace.create();
  const ends = [
    ["near", "10.9.0.1", (...command: readonly string[]) => runCommand(...command)],
    ["far", "10.9.0.2", (...command: readonly string[]) => far.run(...command)],
  ] as const;
  await runCommand(..."ip link add near type veth peer name far netns".split(" "), String(far.pid));
  for (const [device, address, run] of ends) {
    await run(process.execPath, join(import.meta.dir, "../offloads.ts"), device);
    await run("ip", "address", "add", `${address}/24`, "dev", device);
    await run("ip", "link", "set", "dev", device, "up");
  }
  await far.run("ip", "address", "add", `${publicAddress}/32`, "dev", "lo");
  await runCommand("ip", "route", "add", `${publicAddress}/32`, "via", "10.9.0.2");
  const script = join(import.meta.dir, "redirecting.ts");
  const web = new Program(far.command(process.execPath, script, "http://db.internal/"));
  await web.event("listening");
  return far;
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
