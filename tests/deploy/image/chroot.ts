import { needed } from "../../blackbox/programs/installed.ts";

/** How a program is to run with `root` as its root folder. */
export interface ChrootOptions {
  readonly root: string;
  /** `UID:GID` */
  readonly user: string;
  /** All that it finds in its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Folders of this machine that are to be seen in there, at places that exist. */
  readonly mounts?: readonly { readonly from: string; readonly to: string }[];
  /** Nothing but the mounts can be written. */
  readonly readOnly?: boolean;
  /** It finds no network, not even loopback. */
  readonly offline?: boolean;
  /** It is process 1, to which signals mean nothing unless it handles them. */
  readonly first?: boolean;
}

/** What runs `command` so; needs to be root. What it mounts goes with the process. */
export function inChroot(options: ChrootOptions, command: readonly string[]): string[] {
  const { root, user, env, mounts = [], readOnly = false, offline = false, first = false } = options;
  const script = [
    "set -e",
    `mount --bind "${root}" "${root}"`,
    `mount --rbind /dev "${root}/dev"`,
    `mount ${first ? "-t proc proc" : "--rbind /proc"} "${root}/proc"`,
    ...mounts.map(({ from, to }) => `mount --bind "${from}" "${root}${to}"`),
    ...(readOnly ? [`mount -o remount,ro,bind "${root}"`] : []),
    `exec setpriv --no-new-privs chroot --userspec=${user} --groups= "${root}" "$@"`,
  ];
  const apart = [
    "--mount",
    ...(offline ? ["--net"] : []),
    ...(first ? ["--pid", "--fork", "--kill-child"] : []),
  ];
  return [
    ...[
      needed("env"),
      "-i",
      `PATH=${path}`,
      ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ],
    ...[needed("unshare"), ...apart, needed("sh"), "-c", script.join("\n"), "sh", ...command],
  ];
}

/** That of images of Debian, and what `inChroot` itself needs. */
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Why nothing can be run so here; undefined: it can. */
export const chrootRefusal: string | undefined = refusal();

function refusal(): string | undefined {
  if (process.getuid?.() !== 0) return "it needs to be root";
  const tried = Bun.spawnSync([
    "unshare",
    "--mount",
    "--pid",
    "--net",
    "--fork",
    "mount",
    "--bind",
    "/dev",
    "/dev",
  ]);
  return tried.exitCode === 0 ? undefined : `unshare: ${tried.stderr.toString().trim()}`;
}
