import type { Driver } from "../shared/driver.ts";
import type { SessionKind } from "../shared/kind.ts";
import type { Claims } from "./auth/claims.ts";

/** One session of an agent, as a tunnel sees it. It may be without a link for a while. */
export interface AgentSession {
  /** Never given twice. */
  readonly id: string;
  /** What resuming it is proved with: the base64url text of WELCOME. */
  readonly secret: string;
  readonly name: string;
  readonly kind: SessionKind;
  /** The agent serves streams with a target. */
  readonly offersEgress: boolean;
  /** (`iss`, `sub`), as one text. */
  readonly owner: string;
  readonly driver: Driver;
  readonly instance: string;
  readonly slot: number;
  /** Of the token of its latest link: what it may do now. */
  claims: Claims;
  /** Of the latest HELLO that was accepted. */
  attempt: number;
  /** Given by its home; shared by the sessions of one instance. */
  generation: number;
  /** Takes no new streams: a newer instance took over, or its token has expired. */
  leaving: boolean;
  /** The agent has said that it will not come back. */
  saidBye: boolean;
  /** When the grace that it has ends; infinite while it has none. */
  graceUntilMs: number;
  /** Ends what was set going for this session alone. */
  cancelGrace?: () => void;
  cancelExpiry?: () => void;
}
