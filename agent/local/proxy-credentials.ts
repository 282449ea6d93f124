import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import type { Login } from "./socks-reader.ts";

/** User and password that a program must give. */
export interface ProxyCredentials {
  readonly user: string;
  readonly password: string;
}

const utf8 = new TextEncoder();
const maxBasicChars = 2_048;

/** Whether a login is the one that is asked for, in a time that does not tell how much of it is right. */
export function loginMatches(login: Login, credentials: ProxyCredentials): boolean {
  const user = sameBytes(login.user, utf8.encode(credentials.user));
  const password = sameBytes(login.password, utf8.encode(credentials.password));
  return user && password;
}

/** The login in a Proxy-Authorization field (RFC 7617); undefined where it is none of Basic. */
export function basicLogin(field: string | undefined): Login | undefined {
  if (field === undefined || field.length > maxBasicChars) return undefined;
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(field) ?? [];
  const text = encoded === undefined ? undefined : decodeBase64(encoded);
  const colon = text?.indexOf(":") ?? -1;
  if (text === undefined || colon < 0) return undefined;
  return { user: encodeLatin1(text.slice(0, colon)), password: encodeLatin1(text.slice(colon + 1)) };
}

/** One character a byte. */
function decodeBase64(encoded: string): string | undefined {
  try {
    return atob(encoded);
  } catch {
    // Not base64 after all: a length that can't be.
    return undefined;
  }
}

/** The time depends on the length of `given` alone. */
function sameBytes(given: Uint8Array, wanted: Uint8Array): boolean {
  let different = given.length ^ wanted.length;
  for (let i = 0; i < given.length; i++) different |= (given[i] ?? 0) ^ (wanted[i % wanted.length] ?? 0);
  return different === 0;
}
