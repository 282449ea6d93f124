export interface GoModule {
  readonly module: string;
  /** Absent: the latest. */
  readonly version?: string;
  /** Of the program; absent: the module itself. */
  readonly path?: string;
}

/** How a peer or a load generator is installed. */
export type Recipe = {
  readonly name: string;
  /** By which it is found; absent: its name. */
  readonly program?: string;
  /** Switch by which it tells its version. */
  readonly ask?: string;
} & (
  | { readonly crate: readonly string[] }
  | GoModule
  | { readonly debian: string }
  | { readonly skip: string }
);

export const recipes: readonly Recipe[] = [
  { name: "nginx", ask: "-v", debian: "nginx" },
  { name: "wrk", ask: "-v", debian: "wrk" },
  { name: "iperf3", ask: "--version", debian: "iperf3" },
  { name: "ssh", ask: "-V", debian: "openssh-client" },
  { name: "sshd", program: "/usr/sbin/sshd", debian: "openssh-server" },
  { name: "chisel", module: "github.com/jpillora/chisel", version: "v1.10.1" },
  { name: "piko", module: "github.com/andydunstall/piko", version: "v0.7.0" },
  { name: "gost", ask: "-V", module: "github.com/go-gost/gost", path: "github.com/go-gost/gost/cmd/gost" },
  { name: "bore", ask: "--version", crate: ["bore-cli", "--locked"] },
  // Its lock file holds a version of a crate that newer compilers refuse.
  { name: "rathole", ask: "--version", crate: ["rathole"] },
  { name: "oha", ask: "--version", crate: ["oha", "--locked"] },
  { name: "localtunnel", skip: "npm has its client, but not the server that it needs" },
];
