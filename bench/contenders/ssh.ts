import { join } from "node:path";
import { accepts } from "../ports.ts";
import { tcpPeer } from "./tcp-peer.ts";

/** sshd wants to be called by its whole path, to start itself again for each session. */
const daemon = "/usr/sbin/sshd";

export const ssh = tcpPeer({
  name: "ssh",
  about: "OpenSSH: `ssh -R` to an sshd of its own, default ciphers",
  needs: ["ssh", daemon],
  async open({ crew, site, forwards, linkPort, program }) {
    const user = await crew.start(["id", "-un"]).output();
    for (const kind of ["host", "user"]) {
      const path = join(crew.folder, kind);
      await crew.start(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]).output();
    }
    const [host, key = ""] = ["host", "user"].map((kind) => join(crew.folder, kind));
    const settings = [
      `ListenAddress=${site.publicHost}:${linkPort}`,
      `HostKey=${host}`,
      `AuthorizedKeysFile=${key}.pub`,
      ...["PidFile=none", "UsePAM=no", "StrictModes=no", "PermitRootLogin=yes", "LogLevel=ERROR"],
      ...["PasswordAuthentication=no", "AllowTcpForwarding=yes", "PrintMotd=no"],
    ];
    const options = (list: readonly string[]): string[] => list.flatMap((setting) => ["-o", setting]);
    const relay = crew.start([daemon, "-D", "-e", "-f", "/dev/null", ...options(settings)]);
    await accepts(site.publicHost, linkPort, relay);
    const remotes = forwards.flatMap(({ publicPort, originPort }) => [
      "-R",
      `127.0.0.1:${publicPort}:127.0.0.1:${originPort}`,
    ]);
    const agent = crew.start(
      site.privately([
        ...[program("ssh"), "-F", "none", "-N", "-T", "-p", String(linkPort), "-i", key],
        ...options(["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]),
        ...options(["IdentitiesOnly=yes", "ExitOnForwardFailure=yes", "LogLevel=ERROR"]),
        ...[...remotes, `${user}@${site.publicHost}`],
      ]),
    );
    return [
      { role: "relay", child: relay },
      { role: "agent", child: agent },
    ];
  },
});
