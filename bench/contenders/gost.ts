import { accepts } from "../ports.ts";
import { tcpPeer } from "./tcp-peer.ts";

export const gost = tcpPeer({
  name: "gost",
  about: "gost (Go): its relay protocol over TCP, all streams in one connection (smux); no encryption",
  needs: ["gost"],
  async open({ crew, site, forwards, linkPort, program }) {
    const link = `relay+mtcp://${site.publicHost}:${linkPort}`;
    const relay = crew.start([program("gost"), "-L", `${link}?bind=true`], { dropStderr: true });
    await accepts(site.publicHost, linkPort, relay);
    const listeners = forwards.flatMap(({ publicPort, originPort }) => [
      "-L",
      `rtcp://127.0.0.1:${publicPort}/127.0.0.1:${originPort}`,
    ]);
    const command = [program("gost"), ...listeners, "-F", link];
    const agent = crew.start(site.privately(command), { dropStderr: true });
    return [
      { role: "relay", child: relay },
      { role: "agent", child: agent },
    ];
  },
});
