import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import Ajv, { type AnySchemaObject } from "ajv";
import { parse } from "yaml";
import { ConfigError, readConfig } from "../../agent/config/config.ts";
import { configJsonSchema } from "../../scripts/config-json-schema.ts";

const published = join(import.meta.dir, "../../docs/underpass.schema.json");
const validate = new Ajv({ allErrors: true }).compile({ ...configJsonSchema() } as AnySchemaObject);

/** What each of the two says of a file. */
function verdicts(text: string): { agent: boolean; schema: boolean } {
  const schema = validate(parse(text, { merge: true })) === true;
  try {
    readConfig({ text, path: "underpass.yaml", link: {}, names: [] });
    return { agent: true, schema };
  } catch (error) {
    if (error instanceof ConfigError) return { agent: false, schema };
    throw error;
  }
}

const tunnel = (text: string) => `tunnels: { web: { ${text} } }`;
const withRelay = (text: string) => `relay: https://relay.example\n${text}`;

describe("docs/underpass.schema.json", () => {
  test("is what `npm run docs:schema` writes", async () => {
    expect(await Bun.file(published).json()).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
  });

  test("and docs/config.md know the same keys, and its example is right", async () => {
    const page = await Bun.file(join(import.meta.dir, "../../docs/config.md")).text();
    const { properties = {} } = configJsonSchema();
    const keys = Object.entries(properties).flatMap(([key, schema]) => {
      const entry = typeof schema === "object" ? schema.additionalProperties : undefined;
      return [key, ...Object.keys((typeof entry === "object" && entry.properties) || {})];
    });
    expect(keys.length).toBeGreaterThan(25);
    expect(keys.filter((key) => !new RegExp(`\\b${key}(\`|:)`).test(page))).toEqual([]);
    const [example = ""] = /(?<=```yaml\n)[^`]+tunnels:[^`]+/.exec(page) ?? [];
    expect(verdicts(example)).toEqual({ agent: true, schema: true });
  });

  test.each([
    tunnel("http: 8080"),
    tunnel('http: "8080"'),
    tunnel("http: http://10.0.0.5:8080/"),
    tunnel("http: https://service.example"),
    tunnel("http: unix:/run/app.sock"),
    tunnel("http: 1, host-header: origin, origin-insecure: true, origin-head-timeout: 1h30m"),
    tunnel("tcp: db.example:5432, remote-port: 15432, proxy-protocol: v1, join: false"),
    tunnel('tls: "[::1]:443", proxy-protocol: v2, name: blue'),
    tunnel("udp: 53, remote-port: 53"),
    tunnel('private: 22, allow-egress: ["10.1.0.0/16:22,443", "*.example:1-1024", "host:*"]'),
    tunnel("http: 1, random-name: true"),
    tunnel("http: 1, random-name: false, name: a"),
    `listen: "[::1]:0"\n${tunnel("http: 1")}`,
    withRelay("token-file: t\ninsecure: false\nlinks: 8\ntransport: sse\ntunnels: { a: { http: 1 } }"),
    withRelay(
      "websocket-retry: 1m\nno-reconnect: true\nmax-reconnect-delay: 500ms\ntunnels: { a: { http: 1 } }",
    ),
    withRelay("connect: { box: { listen: 127.0.0.1:2222 } }"),
    withRelay("proxy: { out: { listen: localhost:1080, via: box, auth-file: proxy.txt } }\ntunnels: {}"),
    "forward: { plain: { listen: 127.0.0.1:0, to: 80 } }",
    '{ "tunnels": { "web": { "http": 8080 } } }',
  ])("takes, as the agent does: %j", (text) => {
    expect(verdicts(text)).toEqual({ agent: true, schema: true });
  });

  test.each([
    "{}",
    "[]",
    "tunnels: {}",
    "tunnels: 3",
    "tunnels: [{ http: 1 }]",
    "tunnels: { web: 8080 }",
    "tunnels: { Web: { http: 1 } }",
    tunnel(""),
    tunnel("name: a"),
    tunnel("http: 1, tcp: 2"),
    tunnel("http: 0"),
    tunnel("http: 65536"),
    tunnel("http: 1.5"),
    tunnel("http: true"),
    tunnel("http: ftp://x"),
    tunnel("http: http://x/path"),
    tunnel("http: http://me@x"),
    tunnel("tcp: http://x:1"),
    tunnel("tcp: db.example"),
    tunnel("udp: unix:/run/x"),
    tunnel("http: 1, port: 2"),
    tunnel("http: 1, name: Blue"),
    tunnel("http: 1, name: blue, random-name: true"),
    tunnel("http: 1, remote-port: 80"),
    tunnel("tcp: 1, host-header: origin"),
    tunnel("udp: 1, origin-dial-timeout: 1s"),
    tunnel("private: 1, proxy-protocol: v1"),
    tunnel("tcp: 1, proxy-protocol: 1"),
    tunnel("tcp: 1, remote-port: 0"),
    tunnel("http: 1, host-header: a b"),
    tunnel("http: 1, origin-dial-timeout: 10"),
    tunnel("http: 1, origin-dial-timeout: 10x"),
    tunnel("http: 1, join: 1"),
    tunnel("http: 1, allow-egress: a:1"),
    tunnel("http: 1, allow-egress: [a]"),
    `token: abc\n${tunnel("http: 1")}`,
    `token_file: abc\n${tunnel("http: 1")}`,
    `token-file: ""\n${tunnel("http: 1")}`,
    `relay: relay.example\n${tunnel("http: 1")}`,
    `relay: https://relay.example/path\n${tunnel("http: 1")}`,
    `links: 0\n${tunnel("http: 1")}`,
    `links: "2"\n${tunnel("http: 1")}`,
    `transport: quic\n${tunnel("http: 1")}`,
    `listen: 8787\n${tunnel("http: 1")}`,
    withRelay(`listen: 127.0.0.1:0\n${tunnel("http: 1")}`),
    withRelay("connect: { box: {} }"),
    withRelay("connect: { box: { listen: 127.0.0.1:1, to: x } }"),
    withRelay("proxy: { out: { listen: 127.0.0.1:1, via: Box } }"),
    "forward: { plain: { listen: 127.0.0.1:1 } }",
    "forward: { plain: { listen: 127.0.0.1:1, to: x } }",
  ])("refuses, as the agent does: %j", (text) => {
    expect(verdicts(text)).toEqual({ agent: false, schema: false });
  });
});
