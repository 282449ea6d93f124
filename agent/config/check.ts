import type { ListenAddress } from "../../shared/listen-address.ts";
import type { EntryCommand } from "./entries.ts";

/** What `config check` says of an entry. */
interface Description {
  readonly entry: string;
  readonly kind: string;
  /** Of the tunnel that is served or reached; absent: there is none, or the relay chooses it. */
  readonly name?: string;
  /** The origin, or where something listens on this machine. */
  readonly at: string;
  /** With commas between several. Absent: it goes over none. `embedded`: it runs in the same process. */
  readonly relay?: string;
}

/** A line for each entry, without newlines: columns for a person, or JSON. */
export function describeEntries(
  entries: ReadonlyMap<string, EntryCommand>,
  { json }: { readonly json: boolean },
): readonly string[] {
  const all = [...entries].map(([entry, command]) => describe(entry, command));
  if (json) return all.map((one) => JSON.stringify(one));
  const rows = all.map(({ entry, kind, name = "-", at, relay = "-" }) => [entry, kind, name, at, relay]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
}

function describe(entry: string, command: EntryCommand): Description {
  switch (command.command) {
    case "expose": {
      const { kind, name, origin } = command.tunnel;
      const relay = command.link.relays === undefined ? "embedded" : originsOf(command.link.relays);
      return { entry, kind, ...(name !== undefined && { name }), at: origin.url, relay };
    }
    case "connect": {
      const { name, from, link } = command;
      const at = from === "stdio" ? from : addressText(from);
      return { entry, kind: "connect", name, at, relay: originsOf(link.relays) };
    }
    case "proxy": {
      const { via, listen, link } = command;
      const name = via !== undefined && { name: via };
      return { entry, kind: "proxy", ...name, at: addressText(listen), relay: originsOf(link.relays) };
    }
    case "forward":
      return { entry, kind: "forward", at: `${addressText(command.listen)} to ${command.to.url}` };
  }
}

function originsOf(relays: readonly URL[]): string {
  return relays.map(({ origin }) => origin).join(", ");
}

function addressText({ host, port }: ListenAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
