/** Passes chunks on until `size` bytes went through; then ends, or errors with RangeError when `error` is set. */
export declare class LimitedBytesTransformStream extends TransformStream<Uint8Array, Uint8Array> {
  constructor(size: number, options?: { error?: boolean });
}
export declare function concatReadableStreams<T>(...streams: ReadableStream<T>[]): ReadableStream<T>;
export declare function toBytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array>;
export declare function toText(stream: ReadableStream<Uint8Array | string>): Promise<string>;
