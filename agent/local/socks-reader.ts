import { targetText } from "./proxy-target.ts";
import { readSocksAddress } from "./socks-address.ts";

/** What a program asks of a SOCKS proxy. */
export interface SocksRequest {
  readonly command: number;
  /** `HOST:PORT`; undefined where nothing can be called there. */
  readonly target: string | undefined;
}

/** User and password of RFC 1929, or of Basic: bytes, since neither says which text they are. */
export interface Login {
  readonly user: Uint8Array;
  readonly password: Uint8Array;
}

/** Nothing of SOCKS5 takes more at a time: 513 bytes of user and password. SOCKS4a: two texts. */
const maxUnreadBytes = 1_024;
const maxTextBytes = 255;
const nothing = new Uint8Array(0);
const decoder = new TextDecoder("latin1");

/**
 * Reads a SOCKS handshake out of bytes as they come, message by message: which one is expected is the caller's to know.
 * Each method: undefined while more is to come, `wrong` where it can't become right.
 */
export class SocksReader {
  #bytes: Uint8Array = nothing;

  /** The caller stops pushing once it has the request, so that no more than one piece beyond is held. */
  push(bytes: Uint8Array): void {
    if (this.#bytes.length === 0) {
      this.#bytes = bytes;
      return;
    }
    const all = new Uint8Array(this.#bytes.length + bytes.length);
    all.set(this.#bytes);
    all.set(bytes, this.#bytes.length);
    this.#bytes = all;
  }

  /** What has not been read. */
  get rest(): Uint8Array {
    return this.#bytes;
  }

  /** The methods of authentication that are offered (RFC 1928 section 3). */
  methods(): Uint8Array | "wrong" | undefined {
    const [version, count] = this.#bytes;
    if (version !== undefined && version !== 5) return "wrong";
    if (count === undefined || this.#bytes.length < 2 + count) return undefined;
    return this.#take(2 + count).subarray(2);
  }

  /** RFC 1929 section 2. */
  login(): Login | "wrong" | undefined {
    const [version, userBytes] = this.#bytes;
    if (version !== undefined && version !== 1) return "wrong";
    if (userBytes === undefined) return undefined;
    const passwordAt = 3 + userBytes;
    const passwordBytes = this.#bytes[passwordAt - 1];
    if (passwordBytes === undefined || this.#bytes.length < passwordAt + passwordBytes) return undefined;
    const all = this.#take(passwordAt + passwordBytes);
    return { user: all.subarray(2, passwordAt - 1), password: all.subarray(passwordAt) };
  }

  /** RFC 1928 section 4. `unknown`: a type of address that is none. */
  request(): SocksRequest | "wrong" | "unknown" | undefined {
    const [version, command = 0] = this.#bytes;
    if (version !== undefined && version !== 5) return "wrong";
    const address = readSocksAddress(this.#bytes, 3);
    if (address === undefined || address === "unknown") return address;
    this.#take(address.to);
    return { command, target: address.target };
  }

  /** SOCKS4 and SOCKS4a: version, command, port, address, user, NUL, and a name, NUL where the address is 0.0.0.x. */
  request4(): SocksRequest | "wrong" | undefined {
    const bytes = this.#bytes;
    const userEnd = bytes.indexOf(0, 8);
    if (userEnd < 0) return bytes.length > maxUnreadBytes ? "wrong" : undefined;
    const [, command = 0, portHigh = 0, portLow = 0, a = 0, b = 0, c = 0, d = 0] = bytes;
    const named = a === 0 && b === 0 && c === 0 && d !== 0;
    const end = named ? bytes.indexOf(0, userEnd + 1) : userEnd;
    if (end < 0) return bytes.length > maxUnreadBytes ? "wrong" : undefined;
    if (userEnd - 8 > maxTextBytes || end - userEnd > maxTextBytes) return "wrong";
    const host = named ? decoder.decode(bytes.subarray(userEnd + 1, end)) : `${a}.${b}.${c}.${d}`;
    this.#take(end + 1);
    return { command, target: targetText(host, (portHigh << 8) | portLow) };
  }

  #take(length: number): Uint8Array {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }
}
