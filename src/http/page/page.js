"use strict";
// The page is whole without this script. With it, the page follows the daemon: it listens to the stream of events, asks for
// itself again, and replaces the parts whose version is another one. Nothing else is touched, so nothing flickers, no
// selection is lost, and a screen reader is told no more than what changed.
(() => {
  const REFRESH = 15_000; // between two looks while nothing happens
  const SETTLE = 300; // after an event: a round brings several
  const FIRST_WAIT = 1_000, LONGEST_WAIT = 30_000; // between two attempts while the daemon does not answer
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  const sign = find("live"), form = find("filter");
  let wait = FIRST_WAIT, timer = 0, lostAt = null, stream = null, busy = false, again = false;
  root.classList.add("scripted");

  // Whole rows for as long as the script sorts out which are shown.
  const source = () => (form ? "/" : location.pathname);

  // ---- what changed ----
  const FOCUSABLE = "a[href], button, input, pre, summary";
  const isSelected = (element) => {
    const selection = getSelection();
    return selection !== null && !selection.isCollapsed && selection.containsNode(element, true);
  };
  function replace(old, fresh) {
    const at = old.contains(document.activeElement)
      ? [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement) : -1;
    const open = old.querySelector("details")?.open;
    old.replaceWith(fresh);
    prepare(fresh);
    if (open) fresh.querySelector("details")?.setAttribute("open", "");
    if (at >= 0) ([...fresh.querySelectorAll(FOCUSABLE)][at] ?? find("main")).focus({ preventScroll: true });
  }
  function patch(old, fresh) {
    const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    const wanted = [...fresh.children].filter((child) => child.id);
    const kept = new Set(wanted.map((child) => child.id));
    for (const [id, child] of known) if (!kept.has(id)) child.remove();
    let cursor = old.firstElementChild;
    for (const child of wanted) {
      let mine = known.get(child.id);
      // A row that left its place is put where it belongs when its turn comes; the others stay.
      if (mine && cursor && cursor !== mine && cursor.nextElementSibling === mine) cursor = mine;
      if (!mine) {
        mine = document.importNode(child, true);
        old.insertBefore(mine, cursor);
        prepare(mine);
        continue;
      }
      if (mine === cursor) cursor = cursor.nextElementSibling;
      else old.insertBefore(mine, cursor);
      if (!child.dataset.version) {
        for (const inner of child.querySelectorAll("[data-keyed]")) patch(find(inner.id), inner);
      } else if (child.dataset.version !== mine.dataset.version && !isSelected(mine)) {
        replace(mine, document.importNode(child, true));
      }
    }
  }
  function take(fresh) {
    if (fresh.documentElement.dataset.build !== root.dataset.build) return location.reload();
    if (document.title !== fresh.title) document.title = fresh.title;
    for (const text of fresh.querySelectorAll("[data-live]")) {
      const mine = find(text.id);
      if (mine && mine.textContent !== text.textContent) mine.textContent = text.textContent;
    }
    for (const id of ["standing", "main"]) if (find(id) && fresh.getElementById(id)) patch(find(id), fresh.getElementById(id));
    select();
    grow();
  }

  // ---- when to ask ----
  function say(words, isLive) {
    root.classList.toggle("lost", !isLive);
    if (sign.textContent !== words) sign.textContent = words;
  }
  async function refresh() {
    clearTimeout(timer);
    if (busy) { again = true; return; }
    if (document.hidden) return;
    busy = true;
    let next = REFRESH;
    try {
      const answer = await fetch(source(), { signal: AbortSignal.timeout(20_000), headers: { accept: "text/html" } });
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      lostAt = null;
      wait = FIRST_WAIT;
      say("live", true);
      if (stream === null) listen();
    } catch {
      lostAt ??= new Date();
      say(`reconnecting since ${lostAt.toISOString().slice(11, 19)}`, false);
      hush();
      next = wait;
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
    busy = false;
    if (again) next = SETTLE;
    again = false;
    soon(next);
  }
  function soon(next) {
    clearTimeout(timer);
    timer = setTimeout(refresh, next);
  }
  function listen() {
    stream = new EventSource("/api/v1/stream");
    for (const kind of root.dataset.kinds.split(" ")) stream.addEventListener(kind, () => soon(SETTLE));
    let isOpen = false;
    stream.onopen = () => { isOpen = true; };
    // Who ends a stream may be ending: the next look will tell. Who refuses one has no place for another listener.
    stream.onerror = () => { hush(); if (!document.hidden) soon(isOpen ? FIRST_WAIT : REFRESH); };
  }
  function hush() {
    stream?.close();
    stream = null;
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : refresh()));
  addEventListener("pagehide", hush);

  // ---- which rows are shown ----
  function select() {
    if (!form) return;
    const rows = [...find("rows").children];
    const words = form.elements.q.value.trim().toLowerCase().split(/\s+/);
    const state = form.elements.state.value;
    let shown = 0;
    for (const row of rows) {
      const fits = (state === "" || row.classList.contains(state)) && words.every((word) => row.dataset.text.includes(word));
      if (row.hidden === fits) row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    find("none").hidden = shown > 0;
    const count = `${shown} of ${rows.length} caches shown`;
    if (find("count").textContent !== count) find("count").textContent = count;
  }
  function remember() {
    const kept = [...new FormData(form)].filter(([, value]) => value !== "");
    const query = new URLSearchParams(kept).toString();
    history.replaceState(null, "", query ? `/?${query}` : "/");
  }
  form?.addEventListener("input", () => { select(); remember(); });
  form?.addEventListener("submit", (event) => { event.preventDefault(); select(); remember(); });

  // ---- ages and commands ----
  function grow() {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const seconds = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
      const [size, unit] = [[86_400, "d", 172_800], [3_600, "h", 3_600], [60, "min", 60]].find(([, , from]) => seconds >= from) ?? [];
      const words = size ? `${Math.floor(seconds / size)} ${unit} ago` : "just now";
      if (time.textContent !== words) time.textContent = words;
    }
  }
  function prepare(within) {
    for (const button of within.querySelectorAll("button.copy")) button.hidden = false;
  }
  async function copy(button) {
    const block = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(block.textContent.trim());
    } catch { // Not to be had without TLS or permission; the older way needs a selection.
      getSelection().selectAllChildren(block);
      if (!document.execCommand("copy")) return;
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2_000);
  }
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.matches("button.copy")) copy(event.target);
  });

  prepare(document);
  say("live", true);
  listen();
  // What the server has left out for a page without scripts is asked for at once.
  if (form && location.search) refresh(); else soon(REFRESH);
})();
