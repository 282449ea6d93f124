import { startEcho } from "./origins/echo.ts";
import { startTunnel } from "./programs/tunnel.ts";
import { RawWebSocket, opcodes } from "./raw/websocket.ts";
const e=startEcho(); const t=performance.now(); const tun=await startTunnel({origin:e.port});
const s=await Promise.all(Array.from({length:5},()=>RawWebSocket.connect(tun.target)));
for(const x of s){await x.send(opcodes.text,"hi"); await x.text(); x.wire.over.then(h=>console.log("T over",h,performance.now()-t)); void x.wire.some().then(b=>console.log("T got",b));}
setTimeout(async()=>{console.log("T end", tun.agent.stdout, tun.agent.stderr, tun.relay.program?.stderr);await tun.close();process.exit()},135000);
