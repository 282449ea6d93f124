import type { Driver } from "../shared/driver.ts";

/** One session of an agent, as a tunnel sees it. It may be without a link for a while. */
export interface AgentSession {
  /** Never given twice. */
  readonly id: string;
  /** What resuming it is proved with: the base64url text of WELCOME. */
  readonly secret: string;
  readonly name: string;
  /** (`iss`, `sub`), as one text. */
  readonly owner: string;
  readonly driver: Driver;
  readonly instance: string;
  readonly slot: number;
  /** Of the latest HELLO that was accepted. */
  attempt: number;
  /** Given by `Tunnels.add`; shared by the sessions of one instance. */
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
