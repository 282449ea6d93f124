import * as v from "valibot";
import { parsePattern } from "../../shared/egress/pattern.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { type Kind, kinds } from "../../shared/kind.ts";
import { parseListenAddress } from "../../shared/listen-address.ts";
import { parseDuration } from "../../shared/units.ts";
import { parseTarget } from "../command/origin-address.ts";
import { maxLinks, maxRelays, transportChoices } from "../command/relay-link.ts";
import { checkName, tunnelDefaults, wishKinds } from "../command/tunnel-spec.ts";
import { closed, flag, type Given, maxTextChars, named, parsable, text, whole } from "./keys.ts";

/** Entries of one kind in a file. Each tunnel has links of its own, and one process should not need more. */
const maxEntries = 64;
const maxEgressPatterns = 256;

const port = whole(1, 65_535);

interface TargetForm {
  /** For people. */
  readonly forms: string;
  readonly pattern: string;
}
const stream: TargetForm = {
  forms: "PORT, HOST:PORT or unix:/PATH",
  pattern: "^(\\d{1,5}|[^\\s/@]+:\\d{1,5}|unix:/.+)$",
};
const targetForms: Readonly<Record<Kind, TargetForm>> = {
  http: {
    forms: "PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH",
    pattern: "^(\\d{1,5}|[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\\s]+/?|unix:/.+)$",
  },
  tcp: stream,
  tls: stream,
  udp: { forms: "PORT or HOST:PORT", pattern: "^(\\d{1,5}|[^\\s/@]+:\\d{1,5})$" },
  private: stream,
};

const target = (kind: Kind, description: string) => {
  const { forms, pattern } = targetForms[kind];
  const message = `give where the service listens: ${forms}.`;
  return v.pipe(
    v.union([port, text(message, pattern)], message),
    parsable((value) => parseTarget(kind, String(value))),
    v.transform(String),
    v.description(`${description}: ${forms}`),
  );
};

const time = (description: string) =>
  v.pipe(
    text("give a time with its unit, such as 500ms, 30s or 1h30m.", "^(\\d+(\\.\\d+)?(ms|s|m|h|d))+$"),
    parsable(checkTime),
    v.transform(parseDuration),
    v.description(description),
  );

const address = (description: string) => {
  const message = "give HOST:PORT, such as 127.0.0.1:8787.";
  return v.pipe(
    text(message, "^(\\[[0-9a-fA-F:.%]+\\]|[^:\\[\\]/\\s]+):\\d{1,5}$"),
    parsable(parseListenAddress),
    v.transform(parseListenAddress),
    v.description(description),
  );
};

const namePattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const name = (description: string) =>
  v.pipe(text("give a name.", namePattern), parsable(checkName), v.description(description));

const file = (description: string) =>
  v.pipe(
    v.string("give the path of a file."),
    v.nonEmpty("give the path of a file."),
    v.maxLength(maxTextChars, "is too long."),
    v.description(`${description}; a relative path is one from this file's folder`),
  );

const relay = text("give a URL such as https://relay.example.", "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\\s]+/?$");

const described = <S extends v.GenericSchema>(schema: S, description: string) =>
  v.pipe(schema, v.description(description));

const tunnelEntries = {
  http: v.exactOptional(target("http", "A web service")),
  tcp: v.exactOptional(target("tcp", "Any service over TCP, at a public port of the relay")),
  tls: v.exactOptional(target("tls", "A service that speaks TLS itself, found by its name (SNI)")),
  udp: v.exactOptional(target("udp", "A service over UDP, at a public port of the relay")),
  private: v.exactOptional(target("private", "A service over TCP without public address, for `connect`")),
  name: v.exactOptional(name("The tunnel's name on the relay; none: the key of this entry")),
  "random-name": v.exactOptional(described(flag, "A name of the relay's choice, hard to guess")),
  join: v.exactOptional(described(flag, "Share the name with other agents that join")),
  "remote-port": v.exactOptional(described(port, "The public port to ask for; none: any that is free")),
  "proxy-protocol": v.exactOptional(
    described(v.picklist(["v1", "v2"], "give v1 or v2."), "Tell the service who called, by a PROXY header"),
  ),
  "host-header": v.exactOptional(
    v.pipe(
      text("give visitor, origin or a host name.", "^[A-Za-z0-9_.:\\[\\]-]+$"),
      v.regex(/^[\w.:[\]-]+$/, "give visitor, origin or a host name."),
      v.description(`What the service sees as Host; default ${tunnelDefaults.hostHeader}`),
    ),
  ),
  "origin-insecure": v.exactOptional(described(flag, "Accept any certificate of an https:// service")),
  "origin-dial-timeout": v.exactOptional(time("How long the service may take to accept; default 10s")),
  "origin-head-timeout": v.exactOptional(
    time("How long the service may take to begin its answer; default 60s"),
  ),
  "allow-egress": v.exactOptional(
    v.pipe(
      v.array(
        v.pipe(text("give HOST-GLOB:PORTS or CIDR:PORTS.", "^\\S+:[0-9,*-]+$"), parsable(parsePattern)),
        "give a list of HOST-GLOB:PORTS or CIDR:PORTS.",
      ),
      v.maxLength(maxEgressPatterns, `has more than ${maxEgressPatterns} entries.`),
      v.description("What `proxy --via` may reach from this machine; none: nothing"),
    ),
  ),
};

/** Which kinds have a use for a key; those that are not here are for all of them. */
const keyKinds = new Map<string, readonly Kind[]>(
  Object.entries(wishKinds).map(([wish, some]) => [
    wish.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
    some,
  ]),
);

const tunnel = v.pipe(
  closed(tunnelEntries, (given, complain) => {
    const [kind, ...more] = kinds.filter((each) => each in given);
    if (kind === undefined) {
      complain(`what should be exposed? Give one of ${kinds.join(", ")}, such as http: 8080.`);
      return;
    }
    for (const other of more) complain(`a tunnel has one kind, and this one is ${kind} already.`, other);
    for (const [key, some] of keyKinds) {
      if (key in given && !some.includes(kind)) complain(`is for ${some.join(", ")}, not for ${kind}.`, key);
    }
    if (given["random-name"] === true && "name" in given)
      complain("give either name or random-name.", "random-name");
  }),
  v.metadata({
    oneOf: kinds.map((kind) => ({ required: [kind] })),
    dependencies: Object.fromEntries(
      [...keyKinds].map(([key, some]) => [key, { anyOf: some.map((kind) => ({ required: [kind] })) }]),
    ),
    not: { required: ["name", "random-name"], properties: { "random-name": { const: true } } },
  }),
);

const connection = closed({
  listen: address("Where the private tunnel is reached on this machine"),
  name: v.exactOptional(name("The private tunnel's name; none: the key of this entry")),
});

const proxy = closed({
  listen: address("Where the SOCKS5 and HTTP proxy listens"),
  via: v.exactOptional(name("Out at the agents of this tunnel; none: out at the relay")),
  "auth-file": v.exactOptional(file("Who uses the proxy must say the user:password in it")),
});

const forward = closed({
  listen: address("Where it listens"),
  to: target("tcp", "Where it leads"),
});

const entries = <const V extends v.GenericSchema>(value: V, description: string) =>
  v.exactOptional(
    v.pipe(named(value, checkName, { pattern: namePattern, max: maxEntries }), v.description(description)),
  );

/** What there is to start, each a mapping from names. */
export const entryGroups = ["tunnels", "connect", "proxy", "forward"] as const;

/** underpass.yaml: the keys are the switches of the command line. docs/underpass.schema.json is made of it. */
export const configSchema = v.pipe(
  closed(
    {
      relay: v.exactOptional(
        v.pipe(
          v.union(
            [relay, v.pipe(v.array(relay), v.minLength(1), v.maxLength(maxRelays))],
            `give a URL such as https://relay.example, or a list of 1 to ${maxRelays}.`,
          ),
          v.transform((value) => [value].flat()),
          v.description(
            "The relay to dial, or several of one cluster, the preferred first; none: one runs in this process, for this machine",
          ),
        ),
      ),
      listen: v.exactOptional(
        address("Where the relay in this process listens; default 127.0.0.1:8787 or the next free port"),
      ),
      "token-file": v.exactOptional(file("Holds the token that the relay asks for, read before each dial")),
      insecure: v.exactOptional(described(flag, "Send the token over plain http to other machines")),
      links: v.exactOptional(described(whole(1, maxLinks), "Links to the relay, for each tunnel; default 2")),
      transport: v.exactOptional(
        described(
          v.picklist(transportChoices, `give ${transportChoices.join(", ")}.`),
          "Over what links go: auto (default), ws, sse",
        ),
      ),
      "websocket-retry": v.exactOptional(
        time("How often a WebSocket is tried again while links go without; default 30s"),
      ),
      "no-reconnect": v.exactOptional(described(flag, "A link that is lost ends its tunnel")),
      "max-reconnect-delay": v.exactOptional(time("The longest pause between two dials; default 30s")),
      tunnels: entries(tunnel, "What is exposed"),
      connect: entries(connection, "Private tunnels to reach from this machine"),
      proxy: entries(proxy, "SOCKS5 and HTTP proxies on this machine"),
      forward: entries(forward, "Plain TCP proxies, without a relay"),
    },
    (given, complain) => {
      for (const key of ["token", "secret"]) {
        if (key in given)
          complain("has no place in a file that is copied and shared: give the path of a token-file.", key);
      }
      if ("relay" in given && "listen" in given)
        complain("is for the relay inside this process: give it without relay.", "listen");
      if (!entryGroups.some((group) => isFilled(given[group])))
        complain(`there is nothing to start: give ${entryGroups.join(", ")}.`);
    },
  ),
  v.title("underpass.yaml"),
  v.metadata({
    anyOf: entryGroups.map((group) => ({
      required: [group],
      properties: { [group]: { type: "object", minProperties: 1 } },
    })),
    not: { required: ["relay", "listen"] },
  }),
);

export type ConfigFile = v.InferOutput<typeof configSchema>;
export type TunnelEntry = v.InferOutput<typeof tunnel>;

function isFilled(group: unknown): boolean {
  // What is no mapping is complained of elsewhere.
  return group !== undefined && (typeof group !== "object" || Object.keys(group as Given).length > 0);
}

function checkTime(value: string): void {
  if (parseDuration(value) <= 0) throw new UnderpassError("usage", "give a time above 0.");
}
