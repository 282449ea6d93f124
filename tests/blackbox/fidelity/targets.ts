import { exchange, type FidelityCase } from "./case.ts";

const fetchUrl = "the platform's Request holds a parsed URL";

const methods = [
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "OPTIONS",
  "PATCH",
  "TRACE",
  "PROPFIND",
  "PROPPATCH",
  "MKCOL",
  "COPY",
  "LOCK",
  "SEARCH",
  "REPORT",
  "PURGE",
  "LINK",
  "M-SEARCH",
  "QUERY",
  "MKCALENDAR",
  "UNDERPASS",
  "get",
  "a!#$%&'*+.^_`|~9",
];

const paths: readonly [string, string][] = [
  ["an encoded slash", "/a%2Fb%2f"],
  ["double slashes", "//a//b//"],
  ["semicolons", "/a;v=1;w/b;=;"],
  ["encoded dots", "/a/%2e%2E/%2e/b"],
  ["dot segments", "/a/../b/./c/.."],
  ["a path above the root", "/../../etc/passwd"],
  ["an encoded percent sign, zero and control", "/%25%00%0d%0A"],
  ["a percent sign that encodes nothing", "/100%/%zz"],
  ["encoded UTF-8, lower and upper case", "/caf%c3%A9"],
  ["signs that URL parsers change", "/a|b\"c<d>e^f`g{h}\\i'j"],
  ["upper case", "/A/B/c"],
  ["an empty query", "/a?"],
  ["a query with everything", "/a?b=c&b=d&&=e&f=%20+%2B?g=/h;i#j"],
  ["a query without an equals sign", "/?x"],
  ["a long target (8,000 bytes)", `/${"l".repeat(7999)}`],
];

/** The request line arrives as it was sent. */
export const targetCases: readonly FidelityCase[] = [
  ...methods.map((method) => ({
    group: "Method",
    name: method,
    limits: { workerd: "the platform's Request knows some methods only" },
    run: exchange({ request: `${method} /method HTTP/1.1\r\nHost: HOST\r\n\r\n`, method }),
  })),
  {
    group: "Method",
    name: "OPTIONS of the whole origin (*)",
    limits: { workerd: fetchUrl },
    run: exchange({ request: "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n" }),
  },
  ...paths.map(([name, path]) => ({
    group: "Target",
    name,
    limits: { workerd: fetchUrl },
    run: exchange({ request: `GET ${path} HTTP/1.1\r\nHost: HOST\r\n\r\n` }),
  })),
];
