import { type Code, codes } from "../shared/errors.ts";
import type { AnswerContext } from "./answer-context.ts";
import { pageStyle } from "./page-style.ts";

/** The stations of a request, in its order. */
const stations = ["You", "Relay", "Agent", "Service"] as const;

interface Wording {
  /** What happened, as a headline. */
  readonly title: string;
  /** What to do about it. Trusted HTML of ours. */
  readonly remedy: string;
  /** Index of the station that failed; the page draws the way up to it. */
  readonly failed?: 0 | 1 | 2 | 3;
  /** The page loads itself again: the cure comes without the visitor's doing. */
  readonly reloads?: true;
}

const startService =
  "Start the service on the machine where the agent runs, or give the agent the right port: <code>--port</code>.";
const restartAgent = "If it is yours: see whether the agent still runs on your machine, and start it again.";

const wordings: Partial<Record<Code, Wording>> = {
  "unknown-tunnel": {
    title: "No tunnel of this name",
    remedy:
      "Check the address for a slip. If it is yours: start the agent with this name, <code>--name</code>.",
    failed: 1,
  },
  "unknown-host": {
    title: "This host is not served here",
    remedy: "Check the address. If the relay is yours: tell it of this host with <code>--domain</code>.",
    failed: 1,
  },
  "not-found": {
    title: "Nothing here",
    remedy: "Check the address, or begin at the <a href='/'>front page</a>.",
  },
  "agent-offline": {
    title: "The agent is away",
    remedy: `${restartAgent} This page reloads by itself.`,
    failed: 2,
    reloads: true,
  },
  "agent-elsewhere": {
    title: "The agent is at another relay",
    remedy: "It can’t be reached from here at the moment. This page reloads by itself.",
    failed: 2,
    reloads: true,
  },
  "link-lost": {
    title: "The way to the agent broke off",
    remedy: "Whether your request reached the service is not known. Load the page again to repeat it.",
    failed: 2,
  },
  "going-away": {
    title: "The relay is restarting",
    remedy: "It will be back in a moment. This page reloads by itself.",
    failed: 1,
    reloads: true,
  },
  "origin-refused": {
    title: "Nothing listens on the port",
    remedy: `${startService} This page reloads by itself.`,
    failed: 3,
    reloads: true,
  },
  "origin-closed": {
    title: "The service hung up",
    remedy: "It closed its socket before its answer was complete. Its own log should say why.",
    failed: 3,
  },
  "origin-invalid": {
    title: "The service does not speak HTTP",
    remedy: "Check that the port is right, and whether it wants <code>https://</code>.",
    failed: 3,
  },
  "origin-timeout": {
    title: "The service takes too long",
    remedy: "See whether it is stuck or busy, then load the page again.",
    failed: 3,
  },
  "too-many-requests": { title: "Too many at once", remedy: "Wait a moment and try again.", failed: 1 },
  "too-many-streams": { title: "Too many at once", remedy: "Wait a moment and try again.", failed: 2 },
  "body-too-large": { title: "Too large to pass", remedy: "Send less in one request.", failed: 1 },
  "head-too-large": {
    title: "Too many or too long headers",
    remedy: "Often these are cookies: delete those of this site and try again.",
    failed: 1,
  },
  "request-invalid": {
    title: "A broken request",
    remedy: "It is not valid HTTP/1.1 and was not passed on.",
    failed: 1,
  },
  "request-timeout": { title: "The request took too long", remedy: "Load the page again.", failed: 1 },
};

const otherwise: Wording = { title: "This did not work", remedy: "Go back, or try again later." };

/** The headline for `code`, plain text. */
export function titleOf(code: Code): string {
  return (wordings[code] ?? otherwise).title;
}

/** The page for a person who meets `code`. Self-contained: no script, no request. `retrySeconds` until it reloads. */
export function errorPage(code: Code, status: number, context: AnswerContext, retrySeconds: number): string {
  const wording = wordings[code] ?? otherwise;
  const who = context.name ?? context.host;
  const happened = escapeHtml(context.detail ?? codes[code].meaning);
  const refresh = wording.reloads
    ? `<meta http-equiv="refresh" content="${Math.min(retrySeconds, 60)}">`
    : "";
  return document(
    `${wording.title} · ${status}`,
    `${refresh}<meta name="robots" content="noindex">`,
    `${who ? `<p class="who">${escapeHtml(cut(who))}</p>` : ""}
<h1>${wording.title}</h1>
<p class="lead">${happened}</p>
${wording.failed === undefined ? "" : way(wording.failed)}
<section><h2>What to do</h2><p>${wording.remedy}</p></section>`,
    `<span>${status}</span> <code>${code}</code>${wording.reloads ? '<span class="wait"><i></i>reloading</span>' : ""}`,
  );
}

/** What stands at `/` on the relay's own host. */
export function landingPage(): string {
  return document(
    "Underpass relay",
    "",
    `<p class="who">Underpass</p>
<h1>The relay is up</h1>
<p class="lead">It makes services on private machines reachable from here. Each tunnel has an address of its own.</p>
${way()}
<section><h2>Open a tunnel</h2>
<p>With a token from whoever runs this relay, beside the service:</p>
<pre>underpass --port 8080 --relay <b>this address</b> \\
          --token-file token.txt</pre></section>`,
    `<a href="/healthz">healthz</a> <a href="/readyz">readyz</a>`,
  );
}

/** The road from visitor to service, whole or broken before station `failed`. */
function way(failed?: number): string {
  const spoken = failed === undefined ? "all well" : `it stops at: ${stations[failed]}`;
  const items = stations.map((station, i) => {
    const state = failed === undefined || i < failed ? "ok" : i === failed ? "bad" : "far";
    return `<li class="${state}"><i></i>${station}</li>`;
  });
  return `<ol aria-label="The way from you to the service, ${spoken}">${items.join("")}</ol>`;
}

function document(title: string, head: string, main: string, foot: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${escapeHtml(title)}</title>${head}
<style>${pageStyle}</style></head>
<body><main>
${emblem}
${main}
<footer>${foot}</footer>
</main></body></html>
`;
}

/** A road over, a way under. */
const emblem = `<svg class="emblem" viewBox="0 0 64 40" width="64" height="40" aria-hidden="true">
<path d="M2 12h60" /><path d="M10 38V30a22 18 0 0 1 44 0v8" /><path class="under" d="M32 38v-4m0-6v-4" /></svg>`;

const maxShownChars = 120;

function cut(text: string): string {
  return text.length > maxShownChars ? `${text.slice(0, maxShownChars)}…` : text;
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? "");
}
