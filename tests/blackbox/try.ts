import { startEcho } from "./origins/echo.ts";
import { RawWebSocket, opcodes } from "./raw/websocket.ts";
const e=startEcho(); const t=performance.now();
const s=await Promise.all(Array.from({length:5},()=>RawWebSocket.connect({port:e.port,host:"x"})));
for(const x of s){await x.send(opcodes.text,"hi"); await x.text(); x.wire.over.then(h=>console.log("over",h,performance.now()-t)); void x.wire.some().then(b=>console.log("got",b));}
setTimeout(()=>{console.log("end");process.exit()},135000);
