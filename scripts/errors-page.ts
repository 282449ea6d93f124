import { type Code, type CodeFacts, codes } from "../shared/errors.ts";

const intro = `# Codes

Made from \`shared/errors.ts\` by \`npm run docs:errors\`; a test fails when it is out of date.

A visitor finds the code in the header \`Underpass-Error\` and in the body of the answer, a program in the agent's
\`--json\` events, a person in the agent's last line.

- **fatal**: the agent doesn't try again, because time does not cure it, and ends with the exit code.
- **wire**: the number in RESET and GOAWAY records ([PROTOCOL.md](../PROTOCOL.md)).
- **HTTP**: the status that a visitor, or an agent that dials, gets.
- **close**: the WebSocket close code of a link that ends with it.
`;

/** A wire number below this ends a stream, one from here on a session. */
const firstSessionWire = 32;

const sections: readonly { title: string; holds: (facts: CodeFacts) => boolean }[] = [
  {
    title: "A stream ends with",
    holds: ({ wire }) => wire !== undefined && wire < firstSessionWire,
  },
  {
    title: "A session ends with",
    holds: ({ wire }) => wire !== undefined && wire >= firstSessionWire,
  },
  {
    title: "A program, or its dial, is refused with",
    holds: (facts) => facts.wire === undefined && exits(facts),
  },
  {
    title: "A request to the relay is answered with",
    holds: (facts) => facts.wire === undefined && !exits(facts),
  },
];

/** Codes that end an agent, or that its dial meets; the others are for visitors only. */
function exits(facts: CodeFacts): boolean {
  return facts.fatal || facts.exit !== undefined;
}

function row(code: Code): string {
  const { meaning, fatal, wire, status, close, exit } = codes[code];
  const cells = [`\`${code}\``, meaning, fatal ? "yes" : "", wire, status, close, exit];
  return `|${cells.map((cell) => (cell === undefined || cell === "" ? " " : ` ${cell} `)).join("|")}|`;
}

/** The text of docs/errors.md. */
export function errorsPage(): string {
  const all = Object.keys(codes) as Code[];
  const parts = sections.map(({ title, holds }) =>
    [
      `## ${title}`,
      "",
      "| code | meaning | fatal | wire | HTTP | close | exit |",
      "| --- | --- | --- | --- | --- | --- | --- |",
      ...all.filter((code) => holds(codes[code])).map(row),
      "",
    ].join("\n"),
  );
  return [intro, ...parts].join("\n");
}
