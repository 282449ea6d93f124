import { accepts } from "../ports.ts";
import { tcpPeer } from "./tcp-peer.ts";

export const chisel = tcpPeer({
  name: "chisel",
  about: "chisel (Go): SSH over one WebSocket, so all is encrypted once",
  needs: ["chisel"],
  async open({ crew, site, forwards, linkPort, program }) {
    const at = ["--host", site.publicHost, "--port", String(linkPort)];
    const relay = crew.start([program("chisel"), "server", ...at, "--reverse"]);
    await accepts(site.publicHost, linkPort, relay);
    const remotes = forwards.map(
      ({ publicPort, originPort }) => `R:127.0.0.1:${publicPort}:127.0.0.1:${originPort}`,
    );
    const url = `http://${site.publicHost}:${linkPort}`;
    const agent = crew.start(site.privately([program("chisel"), "client", url, ...remotes]));
    return [
      { role: "relay", child: relay },
      { role: "agent", child: agent },
    ];
  },
});
