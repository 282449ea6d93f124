import * as grpc from "@grpc/grpc-js";
import type { Certificate } from "./authority.ts";

const raw = (bytes: Buffer): Buffer => bytes;
const method = (name: string, streams: boolean) => ({
  path: `/echo.Echo/${name}`,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});
const echo = { say: method("Say", false), chat: method("Chat", true) };

/** A gRPC service that echoes, one message or as many as come; only visitors with a certificate of `authority` get in. */
export async function startGrpcEcho(
  { certText, keyText }: Certificate,
  authority: Certificate,
): Promise<{ readonly port: number; close(): void }> {
  const service = new grpc.Server();
  service.addService(echo, {
    say: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
      const trailers = new grpc.Metadata();
      trailers.set("seen", String(call.metadata.get("from")[0] ?? ""));
      if (call.request.length === 0) done({ code: grpc.status.INVALID_ARGUMENT, details: "nothing to say" });
      else done(null, call.request, trailers);
    },
    chat: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      call.on("data", (bytes: Buffer) => void call.write(bytes));
      call.on("end", () => call.end());
    },
  });
  const pair = { private_key: Buffer.from(keyText), cert_chain: Buffer.from(certText) };
  const credentials = grpc.ServerCredentials.createSsl(Buffer.from(authority.certText), [pair], true);
  const port = await new Promise<number>((resolve, reject) => {
    service.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  return { port, close: () => service.forceShutdown() };
}

export interface Said {
  readonly code: number;
  readonly text?: string;
  /** What the service put into its trailers. */
  readonly seen?: string;
}

/** A visitor of the echo, at a port of this machine, who takes it for `name`. */
export class GrpcVisitor {
  readonly #client: grpc.Client;

  constructor(port: number, name: string, own: Certificate, authority: Certificate) {
    const credentials = grpc.credentials.createSsl(
      ...[Buffer.from(authority.certText), Buffer.from(own.keyText), Buffer.from(own.certText)],
    );
    this.#client = new grpc.Client(`127.0.0.1:${port}`, credentials, {
      "grpc.ssl_target_name_override": name,
      "grpc.default_authority": name,
    });
  }

  say(text: string, from = ""): Promise<Said> {
    const { path, requestSerialize, responseDeserialize } = echo.say;
    const metadata = new grpc.Metadata();
    metadata.set("from", from);
    return new Promise((resolve) => {
      let said: string | undefined;
      this.#client
        .makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          Buffer.from(text),
          metadata,
          (_, answer) => {
            said = answer?.toString();
          },
        )
        .on("status", ({ code, metadata: trailers }) =>
          resolve({
            code,
            ...(said !== undefined && { text: said }),
            seen: String(trailers.get("seen")[0] ?? ""),
          }),
        );
    });
  }

  /** Says each word once the one before has come back; the status and all that came. */
  chat(words: readonly string[]): Promise<{ readonly code: number; readonly heard: readonly string[] }> {
    const { path, requestSerialize, responseDeserialize } = echo.chat;
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    const heard: string[] = [];
    const say = () => {
      const word = words[heard.length];
      if (word === undefined) call.end();
      else call.write(Buffer.from(word));
    };
    call.on("data", (bytes: Buffer) => {
      heard.push(bytes.toString());
      say();
    });
    // The status tells the same.
    call.on("error", () => {});
    say();
    return new Promise((resolve) => call.on("status", ({ code }) => resolve({ code, heard })));
  }

  close(): void {
    this.#client.close();
  }
}
