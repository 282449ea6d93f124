import type { FetchPlatform } from "../ingress/fetch-platform.ts";

export const workersPlatform: FetchPlatform = {
  fieldText: "utf-8",
  bodyPipe: (length) =>
    length === undefined ? new IdentityTransformStream() : new FixedLengthStream(length),
  respond: (body, status, statusText, headers) =>
    new Response(body, { status, statusText, headers, encodeBody: "manual" }),
  upgrade(headers) {
    const pair = new WebSocketPair();
    pair[1].accept();
    return { socket: pair[1], response: new Response(null, { status: 101, headers, webSocket: pair[0] }) };
  },
};
