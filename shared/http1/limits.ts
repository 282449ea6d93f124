/** Bounds of what is read as HTTP/1.1. */

/** A head that the tunnel carries (PROTOCOL.md section 7). 15 KiB pass everywhere, 64 KiB gets 431. */
export const maxHeadBytes = 32_768;

/** Trailer lines after a chunked body; real ones are a checksum or a status. */
export const maxTrailerBytes = 16_384;

/** A chunk's size line with its extensions, without CRLF. Nobody uses extensions but attackers. */
export const maxChunkLineBytes = 256;

/** All chunk extensions of one message: 1-byte chunks with an extension each would cost a reader more than they carry. */
export const maxChunkExtensionBytes = 16_384;

/** Empty lines before a request line (RFC 9112 section 2.2 asks for at least one). */
export const maxEmptyLines = 4;

/** 1xx heads before the final one. */
export const maxInterimHeads = 32;
