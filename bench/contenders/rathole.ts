import { tcpPeer } from "./tcp-peer.ts";

export const rathole = tcpPeer({
  name: "rathole",
  about:
    "rathole (Rust): a connection of its own for each visitor's, some made in advance; plain TCP, no multiplexing",
  needs: ["rathole"],
  async open({ crew, site, forwards, linkPort, program }) {
    const services = (side: string, entry: (forward: (typeof forwards)[number]) => string): string =>
      forwards.map((forward) => `[${side}.services.${forward.name}]\n${entry(forward)}`).join("\n");
    const link = `${site.publicHost}:${linkPort}`;
    const token = 'default_token = "bench"';
    const server = await crew.file(
      "server.toml",
      `[server]\nbind_addr = "${link}"\n${token}\n${services("server", ({ publicPort }) => `bind_addr = "127.0.0.1:${publicPort}"\nnodelay = true`)}\n`,
    );
    const client = await crew.file(
      "client.toml",
      `[client]\nremote_addr = "${link}"\n${token}\n${services("client", ({ originPort }) => `local_addr = "127.0.0.1:${originPort}"\nnodelay = true`)}\n`,
    );
    const options = { env: { RUST_LOG: "error" } };
    const relay = crew.start([program("rathole"), "--server", server], options);
    const agent = crew.start(site.privately([program("rathole"), "--client", client]), options);
    return [
      { role: "relay", child: relay },
      { role: "agent", child: agent },
    ];
  },
});
