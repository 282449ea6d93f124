const L = 0x6c;
const S = 0x73;
const lower = 0x20;

/**
 * Path routing: an origin does not know that it stands under `prefix` (`/~NAME`), so its Location and its cookies' Path
 * get it. `host` is the visitor's Host as it came: a Location to another authority is left alone. What has the prefix
 * already (from an origin that heeds X-Forwarded-Prefix) stays. Returns `fields` itself when nothing changed.
 */
export function rewriteResponse(fields: string[], prefix: string, host: string): string[] {
  let rewritten: string[] | undefined;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const first = name.charCodeAt(0) | lower;
    const location = first === L && name.length === 8 && name.toLowerCase() === "location";
    const cookie = first === S && name.length === 10 && name.toLowerCase() === "set-cookie";
    if (!location && !cookie) continue;
    const value = fields[i + 1] ?? "";
    const changed = location ? rewriteLocation(value, prefix, host) : rewriteCookie(value, prefix);
    if (changed === value) continue;
    rewritten ??= fields.slice();
    rewritten[i + 1] = changed;
  }
  return rewritten ?? fields;
}

function rewriteLocation(value: string, prefix: string, host: string): string {
  // Authority by RFC 3986 section 3.2, written by scheme or without one. A backslash is a slash to browsers: left alone.
  const absolute = /^(?:https?:)?\/\/([^/?#\\]*)(?=[/?#]|$)/i.exec(value);
  if (absolute) {
    const [start, authority = ""] = absolute;
    if (authority.toLowerCase() !== host.toLowerCase()) return value;
    const path = value.slice(start.length);
    return start + under(prefix, path.startsWith("/") ? path : `/${path}`);
  }
  return value.startsWith("/") && !value.startsWith("//") ? under(prefix, value) : value;
}

/** RFC 6265 section 5.2.4: only a Path that begins with `/` counts, and the last one given. */
function rewriteCookie(value: string, prefix: string): string {
  // Browsers drop a `__Host-` cookie with any Path but `/`.
  if (/^\s*__host-/i.test(value)) return value;
  const parts = value.split(";");
  let changed = false;
  for (let i = 1; i < parts.length; i++) {
    const part = parts[i] ?? "";
    const equals = part.indexOf("=");
    if (equals < 0 || part.slice(0, equals).trim().toLowerCase() !== "path") continue;
    const path = part.slice(equals + 1).trim();
    if (!path.startsWith("/")) continue;
    parts[i] = part.slice(0, equals + 1) + under(prefix, path);
    changed = true;
  }
  return changed ? parts.join(";") : value;
}

function under(prefix: string, path: string): string {
  if (path.startsWith(prefix) && /^(?:$|[/?#])/.test(path.slice(prefix.length))) return path;
  return prefix + path;
}
