import type { Script } from "./origin.ts";

/** Reads the body, answers this text: to tell origins apart. */
export const answerText =
  (text: string): Script =>
  async (exchange) => {
    await exchange.body.text();
    await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
  };
