"""The style sheet of reports: readable from 390 pixels on, light or dark as the reader's system."""

STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#57606a;--page:#fff;--panel:#f5f7f9;--line:#d0d7de;
--accent:#0b5cad;--right:#1a7f37;--wrong:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#a9b3bd;--page:#14171a;--panel:#1e2328;
--line:#3a424a;--accent:#7cb7f2;--right:#5cc97a;--wrong:#ff8a80}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:1120px;margin:0 auto;padding:0 20px}
h1{font-size:1.7rem;line-height:1.2;margin:28px 0 12px}
h2{font-size:1.3rem;margin:40px 0 8px;padding-top:12px;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:20px 0 6px}
nav ul{display:flex;flex-wrap:wrap;gap:4px 16px;list-style:none;margin:0;padding:0}
a{color:var(--accent)}
p,ul{max-width:75ch}
main>section:first-child h2{border-top:0;margin-top:16px}
.note{background:var(--panel);border-left:3px solid var(--soft);padding:8px 12px;color:var(--soft)}
figure{margin:16px 0}
figcaption{color:var(--soft);font-size:.875rem;max-width:90ch}
.scroll{overflow-x:auto;max-width:100%;margin-bottom:16px}
.scroll svg{display:block;width:100%;min-width:640px;height:auto}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:normal}
th{background:var(--panel);white-space:nowrap}
td.number{text-align:right}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(132px,1fr));gap:12px;margin:8px 0}
.tiles.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr))}
.tile{margin:0;padding:6px;background:var(--panel);border-radius:6px;border-top:3px solid var(--line)}
.tile.right{border-top-color:var(--right)}
.tile.wrong{border-top-color:var(--wrong)}
.tile img{display:block;width:100%;height:132px;object-fit:contain;background:var(--page)}
.tiles.wide .tile img{height:auto}
.tile figcaption{font-size:.8rem;line-height:1.35;padding-top:4px}
.absent{height:132px;display:grid;place-items:center;color:var(--soft);font-size:.8rem}
pre{background:var(--panel);padding:10px;overflow-x:auto;font-size:.8rem;overflow-wrap:normal}
code{background:var(--panel);padding:1px 4px;border-radius:4px;font-size:.9em}
summary{cursor:pointer;color:var(--accent)}
footer{color:var(--soft);font-size:.875rem;padding-bottom:32px}
@media print{nav{display:none}details{display:none}}
""".strip()
