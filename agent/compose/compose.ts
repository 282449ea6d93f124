import type { ConnectCommand, ExposeCommand, ForwardCommand, ProxyCommand } from "../command/options.ts";
import { startConnect } from "../local/connect.ts";
import { startProxy } from "../local/proxy.ts";
import type { FetchFunction } from "../origins/handler.ts";
import { Calling } from "./calling.ts";
import type { Surroundings } from "./compose-agent.ts";
import { composeTunnel } from "./compose-tunnel.ts";
import { openForwarding } from "./forwarding.ts";
import { localUrl } from "./local-door.ts";
import { readProxyLogin } from "./proxy-login.ts";
import { dialledPlace, openRelayPlace } from "./relay-place.ts";
import type { Running } from "./running.ts";
import { StandardPipe } from "./standard-pipe.ts";

export interface ComposeOptions extends Surroundings {
  readonly command: ExposeCommand | ConnectCommand | ProxyCommand | ForwardCommand;
  /** In place of an origin on the network. */
  readonly fetch?: FetchFunction | undefined;
  /** A fetch function failed. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** Puts together what one command asks for, not started yet. Rejects with UnderpassError, such as `port-in-use`. */
export async function compose(given: ComposeOptions): Promise<Running> {
  const { command } = given;
  switch (command.command) {
    case "expose":
      return await composeExpose(command, given);
    case "connect":
      return composeConnect(command, given);
    case "proxy":
      return await composeProxy(command, given);
    case "forward":
      return await openForwarding(command, given);
  }
}

async function composeExpose(command: ExposeCommand, given: ComposeOptions): Promise<Running> {
  const { tunnel, link, listen } = command;
  const { platform, onEvent } = given;
  const place = await openRelayPlace({ link, listen, kinds: [tunnel.kind], platform, onEvent });
  const running = composeTunnel({ ...given, tunnel, link, place });
  return {
    start: () => running.start(),
    ended: running.ended,
    get openStreams() {
      return running.openStreams;
    },
    abandon: () => running.abandon(),
    async stop(graceMs) {
      await running.stop(graceMs);
      await place.embedded?.stop(0);
    },
  };
}

function composeConnect({ name, from, link }: ConnectCommand, given: ComposeOptions): Running {
  const { platform, onEvent } = given;
  const { listen, clock } = platform;
  return new Calling({
    ...given,
    link,
    place: dialledPlace(link, platform),
    session: { kind: "connect", name },
    told: { kind: "connect", name, to: `private:${name}` },
    async open(caller, over) {
      if (from === "stdio")
        return new StandardPipe({ caller, near: platform.standardPipe(), clock, onEvent, over });
      const local = await startConnect({ listen, listenAt: from, caller, clock, onStream: onEvent });
      return {
        urls: [localUrl("tcp", local)],
        get openStreams() {
          return local.openStreams;
        },
        close: (graceMs) => local.close(graceMs),
      };
    },
  });
}

async function composeProxy(command: ProxyCommand, given: ComposeOptions): Promise<Running> {
  const { listen: listenAt, via, authFile, link } = command;
  const { platform, onEvent } = given;
  const { listen, clock, openDatagrams, readText } = platform;
  const credentials = authFile === undefined ? undefined : await readProxyLogin(readText, authFile);
  return new Calling({
    ...given,
    link,
    place: dialledPlace(link, platform),
    session: via === undefined ? { kind: "egress", name: drawName(platform) } : { kind: "via", name: via },
    told:
      via === undefined
        ? { kind: "proxy", to: "whatever the relay reaches, as far as the token allows" }
        : { kind: "proxy", name: via, to: `whatever the agents of ${via} reach and allow` },
    async open(caller) {
      const proxy = await startProxy({
        ...{ listen, listenAt, caller, clock, openDatagrams, onStream: onEvent },
        ...(credentials && { credentials }),
      });
      return {
        urls: [localUrl("socks5", proxy), localUrl("http", proxy)],
        get openStreams() {
          return proxy.openStreams;
        },
        close: (graceMs) => proxy.close(graceMs),
      };
    },
  });
}

/** Sessions that go out at the relay need a name to stay together, and nobody else may have the same. */
function drawName({ random }: Surroundings["platform"]): string {
  return `out-${[...random(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
