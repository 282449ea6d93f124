import { UnderpassError } from "../../shared/errors.ts";
import type { ProxyCredentials } from "../local/proxy-credentials.ts";
import type { Platform } from "../platform.ts";

/** What SOCKS5 can carry of either (RFC 1929). */
const maxBytes = 255;

/** The `user:password` in the file of --auth-file. Rejects with `usage`; the message has nothing of what is in the file. */
export async function readProxyLogin(
  readText: Platform["readText"],
  path: string,
): Promise<ProxyCredentials> {
  let text: string;
  try {
    text = await readText(path);
  } catch (error) {
    throw new UnderpassError("usage", `The file ${path} of --auth-file can't be read.`, { cause: error });
  }
  const [line = "", ...more] = text.replace(/\r?\n$/, "").split(/\r?\n/);
  const colon = line.indexOf(":");
  const [user, password] = [line.slice(0, Math.max(colon, 0)), line.slice(colon + 1)];
  const fits = (part: string): boolean => {
    const bytes = new TextEncoder().encode(part).length;
    return bytes > 0 && bytes <= maxBytes;
  };
  if (more.length > 0 || !fits(user) || !fits(password)) {
    throw new UnderpassError("usage", `The file ${path} of --auth-file has not one line of user:password.`);
  }
  return { user, password };
}
