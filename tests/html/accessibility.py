"""What can be checked of a page's accessibility by looking at its elements: names, roles, order of headings, scopes of tables,
contrast (WCAG 2.2, 1.4.3 and 1.4.11). findings() returns sentences; none is what one hopes for."""

CHECKS = r"""
(() => {
  const out = [];
  const visible = (e) => { const r = e.getBoundingClientRect(), s = getComputedStyle(e); return r.width > 1 && r.height > 1 && s.visibility !== "hidden" && s.display !== "none" && !e.closest(".hidden"); };
  const where = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (typeof e.className === "string" && e.className ? "." + e.className.split(" ").join(".") : "");
  if (!document.documentElement.lang) out.push("the document has no language");
  if (!document.title) out.push("the document has no title");
  if (document.querySelectorAll("main").length !== 1) out.push("there is not one main part");
  if (document.querySelectorAll("h1").length !== 1) out.push("there is not one first heading");
  // Headings go down by one level at a time.
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const own = Number(h.tagName[1]);
    if (own > level + 1) out.push(`heading "${h.textContent.slice(0, 40)}" skips a level`);
    level = own;
    if (!h.textContent.trim()) out.push("an empty heading");
  }
  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) { if (ids.has(e.id)) out.push("two elements are called " + e.id); ids.add(e.id); }
  for (const e of document.querySelectorAll("[aria-labelledby]")) if (!ids.has(e.getAttribute("aria-labelledby"))) out.push("aria-labelledby names nothing: " + where(e));
  for (const e of document.querySelectorAll("button, a[href]")) if (!(e.getAttribute("aria-label") || e.textContent).trim()) out.push("no name: " + where(e));
  for (const e of document.querySelectorAll("input, select")) if (!e.getAttribute("aria-label") && !(e.closest("label") && e.closest("label").textContent.trim())) out.push("no label: " + where(e));
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt") || !e.alt) out.push("no text for a picture: " + where(e));
  for (const e of document.querySelectorAll("svg")) if (e.getAttribute("aria-hidden") !== "true" && !(e.getAttribute("role") === "img" && e.getAttribute("aria-label"))) out.push("no text for a chart: " + where(e.parentElement));
  for (const e of document.querySelectorAll("table")) {
    if (!e.caption || !e.caption.textContent.trim()) out.push("a table without caption: " + where(e));
    for (const th of e.querySelectorAll("th")) if (!th.scope) out.push(`a header cell without scope: "${th.textContent.slice(0, 30)}"`);
    for (const td of e.querySelectorAll("thead td")) out.push("a head of a table with plain cells: " + where(e));
  }
  for (const e of document.querySelectorAll("fieldset")) if (!e.querySelector("legend")) out.push("a fieldset without legend");
  for (const e of document.querySelectorAll("*")) {
    const s = getComputedStyle(e);
    if ((s.overflowX === "auto" || s.overflowX === "scroll") && e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0 && !e.querySelector("a, button, input, select")) out.push("scrolls, but not by keyboard: " + where(e));
  }
  for (const e of document.querySelectorAll("button, select, input, summary")) {
    const r = e.getBoundingClientRect();
    if (visible(e) && (r.height < 24 && e.type !== "checkbox" && e.type !== "range")) out.push("smaller than 24 px: " + where(e) + ` "${e.textContent.slice(0, 20)}" ${r.height}`);
  }
  // Contrast of text against what lies behind it.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const color = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = "#000"; canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const background = (e) => {
    const stack = [];
    for (let n = e; n; n = n.parentElement) { const c = color(getComputedStyle(n).backgroundColor); if (c[3] > 0) stack.push(c); if (c[3] === 1) break; }
    return stack.reverse().reduce((below, top) => over(top, below), color(getComputedStyle(document.body).backgroundColor));
  };
  const luminance = (c) => { const l = c.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const ratio = (a, b) => { const x = luminance(a), y = luminance(b); return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
  const low = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e || ["SCRIPT", "STYLE", "TITLE", "NOSCRIPT", "title", "OPTION"].includes(e.tagName) || !visible(e)) continue;
    const s = getComputedStyle(e), svg = e.namespaceURI.endsWith("svg");
    const ground = background(svg ? e.closest("svg").parentElement : e), found = ratio(over(color(svg ? s.fill : s.color), ground), ground);
    const size = parseFloat(s.fontSize), large = size >= 24 || (size >= 18.66 && Number(s.fontWeight) >= 700);
    if (found < (large ? 3 : 4.5)) low.set(where(e), `contrast ${found.toFixed(2)}: ${where(e)} "${e.textContent.slice(0, 30)}"`);
  }
  // Marks of charts that carry meaning.
  for (const e of document.querySelectorAll("svg .dot, svg .series, svg .median, svg .whisker, svg .clique, svg .mean")) {
    const s = getComputedStyle(e), ground = background(e.closest("svg").parentElement), paint = ["circle", "rect"].includes(e.tagName) ? s.fill : s.stroke;
    const found = ratio(over(color(paint), ground), ground);
    if (found < 3) low.set(where(e) + e.getAttribute("class"), `contrast ${found.toFixed(2)} of a mark: ${e.getAttribute("class")}`);
  }
  return out.concat([...low.values()]);
})()
"""


def findings(page):
    return page.eval(CHECKS)


def axe_findings(page, script):
    """What axe-core finds, one sentence per rule and place."""
    with open(script) as file:
        page.eval(file.read() + "; 1")
    result = page.eval("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => v.id + ' (' + v.impact + '): ' + v.help + ': ' + v.nodes.slice(0, 3).map(n => n.target.join(' ')).join(' | ')))", seconds=180)
    return result
