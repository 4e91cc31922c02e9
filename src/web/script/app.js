// Keeps an open page fresh and takes keys. Without it every page still says the same.
(() => {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const store = (key, value) => {
    try { if (value) localStorage.setItem(key, value); else localStorage.removeItem(key); } catch { /* not kept */ }
  };

  // === colours ===
  const THEMES = [null, "light", "dark"];
  const showTheme = () => {
    const theme = root.dataset.theme ?? null;
    byId("theme").textContent = { light: "☀", dark: "☾" }[theme] ?? "◐";
    byId("theme").setAttribute("aria-label", `Colours: ${theme ?? "as the system"}`);
  };
  const turnTheme = () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? null) + 1) % THEMES.length];
    if (next) root.dataset.theme = next; else delete root.dataset.theme;
    store("armspan-theme", next);
    showTheme();
    charts(true);
  };

  // === charts: their script comes when somebody points at one; the SVG shows the same ===
  const script = document.currentScript.dataset.chartScript;
  let fetched = false;
  const charts = (anew) => { if (typeof armspanChart !== "undefined") armspanChart.all(anew); };
  const pointed = (event) => {
    if (fetched || !event.target.closest?.("[data-chart]")) return;
    fetched = true;
    const tag = document.createElement("script");
    tag.src = script;
    tag.onload = () => charts(false);
    document.head.append(tag);
  };
  document.addEventListener("pointerover", pointed);
  document.addEventListener("focusin", pointed);

  // === live ===
  const PAUSE = 2000;
  let source = null;
  let last = 0;
  let waiting = null;
  const state = (text, value) => {
    const dot = byId("live");
    if (!dot || (dot.textContent === text && dot.dataset.live === value)) return;
    dot.textContent = text;
    dot.dataset.live = value;
  };
  const refresh = () => {
    waiting = null;
    if (document.hidden || !byId("live")) return;
    last = Date.now();
    htmx.trigger(document.body, "armspan:view");
  };
  const told = () => {
    state("live", "on");
    waiting ??= setTimeout(refresh, Math.max(0, last + PAUSE - Date.now()));
  };
  const listen = () => {
    if (source || !byId("live") || document.hidden) return;
    source = new EventSource("/live");
    source.addEventListener("view", told);
    source.onerror = () => state("reconnecting", "off");
  };
  const pause = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => document.hidden ? pause() : listen());
  addEventListener("pagehide", pause);
  addEventListener("pageshow", listen);

  // What a reader opened stays open, and what a script drew stays drawn.
  const keep = Idiomorph.defaults.callbacks;
  keep.beforeNodeMorphed = (node) => !node.hasAttribute?.("data-keep");
  keep.beforeAttributeUpdated = (name, node) => {
    if (name === "open" && node.tagName === "DETAILS") return false;
    return !(name === "class" && node.matches?.("[data-chart], tr[data-arm]"));
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    // A server that is away must not empty what is shown.
    if (event.detail.xhr.status >= 400) { event.detail.shouldSwap = false; state("reconnecting", "off"); }
  });
  document.addEventListener("htmx:sendError", () => state("reconnecting", "off"));
  document.addEventListener("htmx:afterSettle", () => { charts(false); age(); pick(); });

  // === ages ===
  const said = (seconds) => seconds < 120 ? `${seconds} s ago`
    : seconds < 5400 ? `${Math.round(seconds / 60)} min ago`
    : seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
  const age = () => document.querySelectorAll("time[data-age]").forEach((time) => {
    time.textContent = said(Math.max(0, Math.round((Date.now() - Date.parse(time.dateTime)) / 1000)));
  });

  // === keys ===
  let arm = null;
  const rows = () => [...document.querySelectorAll("table.arms tr[data-arm]")];
  const pick = () => rows().forEach((row) => row.classList.toggle("picked", row.dataset.arm === arm));
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.dataset.arm === arm);
    const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + by))];
    arm = next.dataset.arm;
    pick();
    next.scrollIntoView({ block: "nearest" });
  };
  // The link after the current one of a row of tabs.
  const turn = (label) => {
    const tabs = [...document.querySelectorAll(`nav[aria-label="${label}"] a.tab`)];
    const at = tabs.findIndex((tab) => tab.getAttribute("aria-current"));
    tabs[(at + 1) % tabs.length]?.click();
  };
  const KEYS = {
    "?": () => byId("help").showModal(),
    j: () => step(1),
    k: () => step(-1),
    Enter: () => rows().find((row) => row.dataset.arm === arm)?.querySelector(".toggle").click(),
    w: () => turn("Window"),
    m: () => turn("Metric"),
    t: turnTheme,
    e: () => location.assign("/experiments"),
    r: () => location.assign("/runs"),
    s: () => location.assign("/sinks"),
    p: () => location.assign("/pipeline"),
    c: () => location.assign("/config"),
  };
  document.addEventListener("keydown", (event) => {
    const typed = event.target.closest?.("input, textarea, select, dialog");
    if (typed || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && (arm === null || event.target.closest("a, button, summary"))) return;
    const act = KEYS[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // === links within a page change only what differs, and the place stays ===
  const go = async (href, push) => {
    const url = new URL(href, location.href);
    // The source says where to look for extensions: without it the page would be put into itself.
    const swap = { source: "#main", target: "#main", select: "#main", swap: "morph:outerHTML show:none" };
    await htmx.ajax("GET", url.pathname + url.search, swap);
    if (push) history.pushState(null, "", url);
    if (url.hash) byId(url.hash.slice(1))?.scrollIntoView({ block: "start" });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    // A link of an SVG has its address elsewhere.
    const url = new URL(link.href.baseVal ?? link.href, location.href);
    const here = url.origin === location.origin && url.pathname === location.pathname;
    if (!here || !link.closest("#main[hx-get]") || link.hasAttribute("download")) return;
    event.preventDefault();
    link.closest("details.menu")?.removeAttribute("open");
    go(url, true);
  });
  addEventListener("popstate", () => go(location.href, false));

  // === copying ===
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    const from = button && document.querySelector(button.dataset.copy);
    if (!from) return;
    const label = button.textContent;
    const done = (word) => { button.textContent = word; setTimeout(() => { button.textContent = label; }, 1500); };
    const byHand = () => { from.hidden = false; from.select(); done("Select and copy"); };
    if (!navigator.clipboard) { byHand(); return; }
    navigator.clipboard.writeText(from.value ?? from.textContent).then(() => done("Copied"), byHand);
  });

  byId("theme").addEventListener("click", turnTheme);
  byId("keys").addEventListener("click", () => byId("help").showModal());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts(true));
  addEventListener("resize", () => { if (typeof armspanChart !== "undefined") armspanChart.resize(); });
  showTheme();
  age();
  setInterval(age, 1000);
  listen();
})();
