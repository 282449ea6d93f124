import { type CoreConfig, type OtherPorts, RelayCore } from "./core.ts";
import { linkPath } from "./dial.ts";
import { answerResponse, arrive, FetchIngress } from "./ingress/fetch.ts";
import type { FetchSource } from "./ingress/fetch-head.ts";
import { FetchLinks, type FetchLinksDeps } from "./ingress/fetch-links.ts";
import type { FetchPlatform } from "./ingress/fetch-platform.ts";
import { FetchPosts } from "./ingress/fetch-posts.ts";

export interface FetchRelayConfig extends CoreConfig, Pick<FetchLinksDeps, "openLink"> {
  readonly platform: FetchPlatform;
}

/** Visitors come as requests and in no other way: nothing else has a public port. */
const noPorts: OtherPorts = {
  offers: (kind) => kind !== "tcp" && kind !== "udp" && kind !== "tls",
};

/** A relay whose platform listens for it, and hands it each request: one process, with whatever tunnels its agents bring. */
export class FetchRelay {
  private readonly core: RelayCore<OtherPorts>;
  private readonly ingress: FetchIngress;
  private readonly links: FetchLinks;
  private readonly posts: FetchPosts;

  constructor(config: FetchRelayConfig) {
    const { platform, openLink, publicUrl } = config;
    const core = new RelayCore(config, () => noPorts);
    const { ways, router, reception, eventLinks } = core;
    const scheme = publicUrl === undefined ? undefined : publicUrl.startsWith("https:") ? "https" : "http";
    this.core = core;
    this.links = new FetchLinks({
      ...{ log: ways.log, memory: ways.memory, platform, openLink, reception, eventLinks },
      admitted: () => {},
    });
    this.posts = new FetchPosts(eventLinks, ways.memory, (code) => reception.refused(code));
    this.ingress = new FetchIngress({ ...ways, router, platform, scheme });
  }

  /** It is reached at `url`. */
  begin(url: string): void {
    this.core.begin(url);
  }

  /** A visitor, or an agent that dials or sends on what it has dialled. Never rejects. */
  async fetch(request: Request, source: FetchSource): Promise<Response> {
    try {
      return await this.answer(request, source);
    } catch (error) {
      // A fault of ours.
      this.core.ways.log.write({ event: "fault", message: String(error) });
      const accept = request.headers.get("accept") ?? "";
      return answerResponse("internal-error", { accept }, request.method);
    }
  }

  /** As `RunningRelay.stop`; the platform goes on handing it what comes meanwhile. */
  async stop(graceMs: number): Promise<void> {
    if (!this.core.draining) await this.core.drain(graceMs, () => this.ingress.drain(graceMs));
  }

  private async answer(request: Request, source: FetchSource): Promise<Response> {
    const arrived = arrive(request, this.core.router, source);
    if (arrived.kind === "answered") return arrived.response;
    const { route, read } = arrived;
    if (route.kind === "tunnel") return this.ingress.visit(request, read, route);
    const { method, target } = read.head;
    if (method === "GET" && linkPath(target) !== undefined) return this.links.dial(request, read);
    return this.posts.take(request, read) ?? this.core.app.fetch(request, { remote: read.remote });
  }
}
