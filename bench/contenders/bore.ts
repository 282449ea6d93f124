import { accepts } from "../ports.ts";
import { tcpPeer } from "./tcp-peer.ts";

/** bore has one control port, and no switch for it. */
const controlPort = 7835;

export const bore = tcpPeer({
  name: "bore",
  about:
    "bore (Rust): a connection of its own for each visitor's, dialled when one comes; no encryption, no multiplexing",
  needs: ["bore"],
  async open({ crew, site, forwards, program }) {
    const bind = ["--bind-addr", site.publicHost, "--bind-tunnels", "127.0.0.1"];
    const relay = crew.start([program("bore"), "server", ...bind], { env: { RUST_LOG: "error" } });
    await accepts(site.publicHost, controlPort, relay);
    const agents = forwards.map(({ name, publicPort, originPort }) => {
      const local = ["local", String(originPort), "--local-host", "127.0.0.1"];
      const command = [program("bore"), ...local, "--to", site.publicHost, "--port", String(publicPort)];
      const child = crew.start(site.privately(command), { env: { RUST_LOG: "error" } });
      return { role: "agent", child, forward: name };
    });
    return [{ role: "relay", child: relay }, ...agents];
  },
});
