// The @std/streams registry package is not on the npm registry; deno-std carries the same code, built.

export { concatReadableStreams } from "deno-std/streams/concat_readable_streams.js";
export { LimitedBytesTransformStream } from "deno-std/streams/limited_bytes_transform_stream.js";
export { toBytes } from "deno-std/streams/to_bytes.js";
export { toText } from "deno-std/streams/to_text.js";
