import type { Exchange } from "../raw/origin.ts";
import { type Answer, Visitor } from "../raw/visitor.ts";
import { exchange, type FidelityCase, originSaw, plainAnswer, visitorSaw } from "./case.ts";

const get = "GET /life HTTP/1.1\r\nHost: HOST\r\n\r\n";
const workerdFraming = "the platform frames bodies itself";

/** The request that the origin has now, and those that follow, with nothing answered by itself. */
function waiting(origin: { script: (exchange: Exchange) => Promise<void> | void }): Promise<Exchange> {
  return new Promise((resolve) => {
    origin.script = async (exchange) => {
      resolve(exchange);
      await exchange.wire.over;
    };
  });
}

/** What an aborted answer looks like: its head, and that its body is not complete. */
async function cut(answer: Answer) {
  const body = await answer.body.text();
  return { start: answer.head.start, bodyBegins: body.slice(0, 3), complete: answer.body.complete };
}

/** A length shows the cut; chunks do not: measured, whatever the source of the body does. */
const chunkedLimits = {
  workerd: "workerd ends a chunked body as if it were complete when its source breaks off",
};

const aborts: readonly [string, string][] = [
  ["in a body with a length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"],
  ["in a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
];

/** When things begin and end: early answers, aborts on either side, old versions, pipelining. */
export const lifecycleCases: readonly FidelityCase[] = [
  {
    group: "Early",
    name: "the answer comes before the upload ends, and the upload goes on",
    run: async (target, origin) => {
      const seen: unknown[] = [];
      origin.script = async (exchange) => {
        const first = await exchange.body.atLeast(3);
        await exchange.send(plainAnswer);
        seen.push(first, originSaw(exchange, await exchange.body.text()));
      };
      using visitor = await Visitor.connect(target);
      await visitor.send(
        "POST /life HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
      );
      const answer = await visitor.answer();
      const text = await answer.body.text();
      await visitor.send("3\r\ndef\r\n0\r\n\r\n");
      await visitor.send(get);
      origin.script = (exchange) => exchange.send(plainAnswer);
      const next = await visitor.answer();
      return { answer: visitorSaw(answer, text), next: next.status, seen };
    },
    limits: { workerd: workerdFraming },
  },
  {
    group: "Early",
    name: "the origin answers 413 and closes in the middle of an upload",
    run: async (target, origin) => {
      origin.script = async (exchange) => {
        await exchange.body.atLeast(3);
        await exchange.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
        exchange.wire.end();
      };
      using visitor = await Visitor.connect(target);
      await visitor.send("POST /life HTTP/1.1\r\nHost: HOST\r\nContent-Length: 900000\r\n\r\nabc");
      const answer = await visitor.answer();
      return visitorSaw(answer, await answer.body.text());
    },
  },
  {
    group: "Early",
    name: "a body arrives piece by piece",
    run: async (target, origin) => {
      const arrived = waiting(origin);
      using visitor = await Visitor.connect(target);
      await visitor.send(get);
      const { send, wire } = await arrived;
      await send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const answer = await visitor.answer();
      await send("1\r\na\r\n");
      const first = await answer.body.atLeast(1);
      await send("2\r\nbc\r\n");
      const second = await answer.body.atLeast(2);
      await send("0\r\n\r\n");
      const rest = await answer.body.text();
      wire.end();
      return { first, second, rest, complete: answer.body.complete };
    },
  },
  ...aborts.map(([name, answerSoFar]) => ({
    ...(name.includes("chunked") && { limits: chunkedLimits }),
    group: "Origin aborts",
    name,
    run: async (...[target, origin]: Parameters<FidelityCase["run"]>) => {
      const arrived = waiting(origin);
      using visitor = await Visitor.connect(target);
      await visitor.send(get);
      const { send, wire } = await arrived;
      await send(answerSoFar);
      const answer = await visitor.answer();
      const begins = await answer.body.atLeast(3);
      wire.abort();
      return { begins, end: await cut(answer) };
    },
  })),
  ...aborts.map(([name, answerSoFar]) => ({
    ...(name.includes("chunked") && { limits: chunkedLimits }),
    group: "Origin aborts",
    name: `${name}, by closing early`,
    run: async (...[target, origin]: Parameters<FidelityCase["run"]>) => {
      const arrived = waiting(origin);
      using visitor = await Visitor.connect(target);
      await visitor.send(get);
      const { send, wire } = await arrived;
      await send(answerSoFar);
      const answer = await visitor.answer();
      const begins = await answer.body.atLeast(3);
      wire.end();
      return { begins, end: await cut(answer) };
    },
  })),
  {
    group: "Origin aborts",
    name: "in a body that ends with the connection",
    run: async (target, origin) => {
      const arrived = waiting(origin);
      using visitor = await Visitor.connect(target);
      await visitor.send(get);
      const { send, wire } = await arrived;
      await send("HTTP/1.1 200 OK\r\n\r\nabc");
      const answer = await visitor.answer();
      const begins = await answer.body.atLeast(3);
      wire.abort();
      return { begins, end: await cut(answer) };
    },
    limits: { workerd: workerdFraming },
  },
  {
    group: "Visitor aborts",
    name: "before the answer: the origin sees it",
    run: async (target, origin) => {
      const arrived = waiting(origin);
      using visitor = await Visitor.connect(target);
      await visitor.send(get);
      const { wire } = await arrived;
      visitor.wire.abort();
      await wire.over;
      return "seen";
    },
  },
  {
    group: "Visitor aborts",
    name: "in the middle of an answer: the origin sees it",
    run: async (target, origin) => {
      const arrived = waiting(origin);
      using visitor = await Visitor.connect(target);
      await visitor.send(get);
      const { send, wire } = await arrived;
      await send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
      const answer = await visitor.answer();
      await answer.body.atLeast(3);
      visitor.wire.abort();
      await wire.over;
      return "seen";
    },
  },
  {
    group: "Visitor aborts",
    name: "in the middle of an upload: the origin sees it, and no end",
    run: async (target, origin) => {
      const seen = Promise.withResolvers<unknown>();
      const begun = Promise.withResolvers<void>();
      origin.script = async (exchange) => {
        await exchange.body.atLeast(3);
        begun.resolve();
        await exchange.body.text();
        seen.resolve({ complete: exchange.body.complete });
      };
      using visitor = await Visitor.connect(target);
      await visitor.send(
        "POST /life HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
      );
      await begun.promise;
      visitor.wire.abort();
      return seen.promise;
    },
  },
  {
    group: "Connections",
    name: "a visitor that has ended its side still gets its answer",
    run: async (target, origin) => {
      const arrived = waiting(origin);
      using visitor = await Visitor.connect(target);
      await visitor.send("GET /life HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
      const { send, wire } = await arrived;
      visitor.wire.end();
      await send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
      wire.end();
      const answer = await visitor.answer();
      return visitorSaw(answer, await answer.body.text());
    },
    limits: { workerd: "the platform takes the end for an abort" },
  },
  {
    group: "Connections",
    name: "three pipelined requests are answered in order",
    run: async (target, origin) => {
      origin.script = (exchange) =>
        exchange.send(
          `HTTP/1.1 200 OK\r\nContent-Length: ${exchange.head.target.length}\r\n\r\n${exchange.head.target}`,
        );
      using visitor = await Visitor.connect(target);
      await visitor.send(["/1", "/two", "/3"].map((path) => get.replace("/life", path)).join(""));
      const texts: string[] = [];
      for (let i = 0; i < 3; i++) texts.push(await (await visitor.answer()).body.text());
      return texts;
    },
  },
  {
    group: "Connections",
    name: "a pipelined upload and what follows it stay apart",
    limits: { workerd: "the platform's Headers are lower case, sorted and joined" },
    run: exchange({
      request: `POST /life HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc${get}`,
      answers: 2,
    }),
  },
];
