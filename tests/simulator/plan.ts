/** What happens in one run, as data: made from a seed, printed when it fails, and made shorter to see why. Times in virtual ms. */
export interface Plan {
  readonly seed: number;
  /** Places in each agent's pool. */
  readonly slots: number;
  /** What the relay's and each agent's buffers may hold. */
  readonly memoryBytes: number;
  /** Agents share the name; else a newer one takes over. */
  readonly joins: boolean;
  /** Memory is so short that a session without a link may have to go before its time. */
  readonly tight: boolean;
  /** From so much on that waits at the relay beside its memory's cap, each may have a small share only. */
  readonly besideBytes: number;
  /** The relay's platform keeps its links while its process is ended. */
  readonly sleeps: boolean;
  /** How long sessions outlive their links. */
  readonly resumeWindowMs: number;
  /** The nth dial gets the nth; those after the last get a good one. */
  readonly links: readonly LinkPlan[];
  readonly exchanges: readonly ExchangePlan[];
  readonly events: readonly EventPlan[];
  readonly end: "bye" | "agent dies" | "relay dies" | "never back";
}

/** When something begins: so long after so many links were dialled. */
export interface When {
  readonly afterLinks: number;
  readonly delayMs: number;
}

export interface LinkPlan {
  /** From the dial to the link at the relay; the agent has it one latency later. */
  readonly openMs: number;
  /** The dial fails instead: refused at once, or never answered. */
  readonly fails?: "refused" | "unanswered";
  readonly latencyMs: number;
  readonly jitterMs: number;
  /** 0: without limit. */
  readonly bytesPerMs: number;
  /** What the system takes before `queued` shows it. */
  readonly bufferBytes: number;
  readonly cut?: CutPlan;
}

export interface CutPlan {
  /** The way whose bytes count. */
  readonly toward: "agent" | "relay";
  /** Before this byte, counted from the first that was sent that way. */
  readonly atByte: number;
  /** Or, from this time on, inside the first message either way; if none comes, after twice this time and a bit. */
  readonly afterMs: number;
  /** No break: these ways fall silent, and nobody is told. */
  readonly silent?: "agent" | "relay" | "both";
  /** What is under way then. */
  readonly flying: "lost" | "arrives";
  /** When each end hears of a break; absent: never. */
  readonly noticeMs: { readonly agent?: number; readonly relay?: number };
}

export interface ExchangePlan extends When {
  readonly headBytes: number;
  readonly relay: PartyPlan;
  readonly agent: PartyPlan;
}

export interface PartyPlan {
  readonly steps: readonly StepPlan[];
  /** Absent: reads at once. Else it takes so much so often. */
  readonly reads?: { readonly bytes: number; readonly everyMs: number };
}

export interface StepPlan {
  readonly waitMs: number;
  /** `await`: the peer's END, or with `bytes` above 0 its LEFT. */
  readonly do: "head" | "write" | "end" | "left" | "reset" | "finish" | "await";
  readonly bytes: number;
}

export type EventPlan = When &
  (
    | {
        readonly do: "stop";
        readonly side: "agent" | "relay";
        readonly ms: number;
        readonly asleep: boolean;
        readonly timersFirst: boolean;
      }
    | { readonly do: "jump"; readonly side: "agent" | "relay"; readonly ms: number }
    | { readonly do: "restart"; readonly downMs: number }
    | { readonly do: "newcomer"; readonly olderDies: boolean }
    | {
        readonly do: "drain";
        readonly graceMs: number /** It stops, and another takes its place. */;
        readonly stops: boolean;
      }
    /** The platform ends the relay's process, and keeps its links: at once, or when nothing goes on there. */
    | { readonly do: "end"; readonly atRest: boolean }
    | { readonly do: "renew" }
    /** No dial succeeds, and no byte arrives, for so long. */
    | { readonly do: "outage"; readonly ms: number }
    /** An old HELLO arrives again, `age` of them back; `forged`: with another attempt number, count or slot. */
    | { readonly do: "stale"; readonly age: number; readonly forged?: "attempt" | "received" | "slot" }
  );
