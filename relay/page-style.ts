/** The look of the relay's own pages: one card, both colour schemes, nothing fetched, nothing that moves unasked. */
export const pageStyle = `
:root{--bg:#f4f2ee;--card:#fffdfa;--ink:#23211d;--soft:#6d675d;--line:#e2ddd3;--ok:#2f7d5b;--bad:#c2452d;--tint:#f6efe4}
@media(prefers-color-scheme:dark){:root{--bg:#16171a;--card:#1f2125;--ink:#eceae5;--soft:#a09b91;--line:#34363c;--ok:#5fc196;--bad:#f0836a;--tint:#282a2f}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--bg);color:var(--ink);font:16px/1.6 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{width:100%;max-width:600px;background:var(--card);border:1px solid var(--line);border-radius:20px;padding:40px 44px 24px;box-shadow:0 1px 2px #0000000a,0 16px 48px #0000000f}
.emblem{display:block;margin:0 0 24px;fill:none;stroke:var(--ink);stroke-width:3.5;stroke-linecap:round}
.emblem .under{stroke:var(--ok)}
.who{margin:0 0 2px;color:var(--soft);font-weight:600;font-size:14px;overflow-wrap:anywhere}
h1{margin:0 0 10px;font-size:30px;line-height:1.2;letter-spacing:-.02em;text-wrap:balance}
.lead{margin:0;color:var(--soft);text-wrap:pretty;overflow-wrap:anywhere}
ol{list-style:none;display:grid;grid-template-columns:repeat(4,1fr);margin:36px 0 32px;padding:0;font-size:13px;font-weight:600;text-align:center}
li{position:relative;color:var(--ok)}
li i{position:relative;z-index:1;display:block;width:26px;height:26px;margin:0 auto 8px;border-radius:50%;background:currentColor}
li i::after{content:"";position:absolute;left:9.5px;top:5.5px;width:6px;height:11px;border:solid var(--card);border-width:0 2.5px 2.5px 0;transform:rotate(45deg)}
li+li::before{content:"";position:absolute;top:11.5px;left:calc(-50% + 13px);width:calc(100% - 26px);border-top:3px solid currentColor}
li.bad{color:var(--bad)}
li.bad i::before,li.bad i::after{content:"";position:absolute;left:6px;top:11.75px;width:14px;height:2.5px;border:0;border-radius:2px;background:var(--card);transform:rotate(45deg)}
li.bad i::before{transform:rotate(-45deg)}
li.bad::before,li.far::before{border-top-style:dotted}
li.far{color:var(--soft)}
li.far::before{color:var(--line)}
li.far i{background:var(--card);border:3px solid var(--line)}
li.far i::after{display:none}
section{padding:16px 20px 18px;border-radius:14px;background:var(--tint)}
h2{margin:0 0 2px;font-size:14px}
section p{margin:0;text-wrap:pretty}
code,pre{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
section code{padding:1px 5px;border-radius:5px;background:var(--card)}
pre{margin:10px 0 0;white-space:pre-wrap;overflow-wrap:anywhere}
pre b{font-weight:400;font-style:italic;color:var(--soft)}
a{color:inherit;text-underline-offset:3px}
footer{display:flex;gap:12px;align-items:center;margin-top:24px;color:var(--soft);font-size:13px}
.wait{margin-left:auto;display:flex;gap:8px;align-items:center}
.wait i{width:12px;height:12px;border:2px solid var(--line);border-top-color:var(--soft);border-radius:50%}
@media(prefers-reduced-motion:no-preference){.wait i{animation:turn 1s linear infinite}}
@keyframes turn{to{transform:rotate(1turn)}}
@media(max-width:480px){main{padding:28px 22px 18px}h1{font-size:25px}}
`;
