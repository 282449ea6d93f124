import { base64url } from "../base64url.ts";
import type { Bus } from "../bus.ts";
import type { Clock } from "../clock.ts";
import { type Code, codes, UnderpassError } from "../errors.ts";
import type { Link } from "../link.ts";
import { BusLink } from "./bus.ts";

export interface BusDialOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  /** The cluster's name, a word of a subject. */
  readonly cluster: string;
}

/** What is asked of the process that is dialled (PROTOCOL.md section 9.1). */
export interface BusDial {
  /** The process that dials. */
  readonly from: string;
  readonly token: string;
  /** The session that is to be resumed. */
  readonly session?: string;
}

/** An answer must come within this. */
const dialTimeoutMs = 2_000;

/** Far above what a dial needs. */
const maxDialBytes = 16_384;

/** Opens a link to the process `to`. One call of `done`, never from inside. Returns what gives up. */
export function dialBusLink(
  { bus, clock, cluster }: BusDialOptions,
  to: string,
  dial: BusDial,
  done: (result: Link | UnderpassError) => void,
): () => void {
  const id = base64url(crypto.getRandomValues(new Uint8Array(16)));
  const { up, down } = subjectsOf(cluster, id);
  const link = new BusLink({ bus, clock, out: up, in: down });
  let isOver = false;
  const end = (result: Link | UnderpassError): void => {
    if (isOver) return;
    isOver = true;
    if (result !== link) link.destroy();
    done(result);
  };
  bus.request(dialSubject(cluster, to), textBytes(JSON.stringify({ link: id, ...dial })), dialTimeoutMs).then(
    (answer) => {
      const refused = stringsIn(answer)["code"];
      if (refused === undefined) end(link);
      else end(new UnderpassError(refused in codes ? (refused as Code) : "internal-error"));
    },
    (cause: unknown) =>
      end(new UnderpassError("relay-unreachable", "The relay does not answer on the bus.", { cause })),
  );
  return () => {
    if (isOver) return;
    isOver = true;
    link.destroy();
  };
}

export interface BusDoor<Admission> {
  /** This process. */
  readonly id: string;
  /** May it have a link? Rejects with an `UnderpassError` where not. */
  admit(dial: BusDial): Promise<Admission>;
  /** Its handler is to be set at once. */
  arrived(link: Link, admission: Admission): void;
}

/** Takes the links that others dial to this process. Returns what ends it; links go on. */
export function acceptBusLinks<Admission>(
  { bus, clock, cluster }: BusDialOptions,
  { id, admit, arrived }: BusDoor<Admission>,
): () => void {
  return bus.subscribe(dialSubject(cluster, id), (message) => {
    const { bytes } = message;
    const { link, from, token, session } = bytes.length > maxDialBytes ? {} : stringsIn(bytes);
    const refuse = (code: Code): void => message.answer(textBytes(JSON.stringify({ code })));
    if (
      link === undefined ||
      !/^[A-Za-z0-9_-]{22}$/.test(link) ||
      from === undefined ||
      token === undefined
    ) {
      refuse("bad-request");
      return;
    }
    admit({ from, token, ...(session !== undefined && { session }) }).then(
      (admission) => {
        const { up, down } = subjectsOf(cluster, link);
        arrived(new BusLink({ bus, clock, out: down, in: up }), admission);
        message.answer(textBytes("{}"));
      },
      (error: unknown) => refuse(error instanceof UnderpassError ? error.code : "internal-error"),
    );
  });
}

function dialSubject(cluster: string, id: string): string {
  return `underpass.${cluster}.dial.${id}`;
}

function subjectsOf(cluster: string, link: string): { readonly up: string; readonly down: string } {
  return { up: `underpass.${cluster}.link.${link}.up`, down: `underpass.${cluster}.link.${link}.down` };
}

function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The members of a JSON object that are texts; none where it is no such thing. */
function stringsIn(bytes: Uint8Array): Readonly<Record<string, string | undefined>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const entries = Object.entries(typeof value === "object" && value !== null ? value : {});
    return Object.fromEntries(entries.filter(([, text]) => typeof text === "string"));
  } catch {
    return {};
  }
}
