/** Where visitors, relay and origins stand. Visitors and the public side are always where the bench itself runs. */
export interface Site {
  /** One sentence for the report. */
  readonly about: string;
  /** Where the public side listens for agents: an address that the private side reaches. */
  readonly publicHost: string;
  /** Where the public side finds the private one, for those who go there without a tunnel. */
  readonly privateHost: string;
  /** What the origins listen on. */
  readonly originHost: string;
  /** What runs a command on the private side. */
  privately(command: readonly string[]): readonly string[];
}

/** All on this machine, over its loopback. */
export const nearSite: Site = {
  about: "all on one machine, over loopback",
  publicHost: "127.0.0.1",
  privateHost: "127.0.0.1",
  originHost: "127.0.0.1",
  privately: (command) => command,
};
