"use strict";
// The page is whole without this script. With it, the page follows the daemon: it listens to the stream of events, asks for
// what has changed since its last look, and replaces the parts whose version is another one. Nothing else is touched, so
// nothing flickers, no selection is lost, and a screen reader is told no more than what changed.
(() => {
  const REFRESH = 15_000; // between two looks while nothing happens
  const SETTLE = 300; // after an event: a round brings several
  const PACE = 1_000; // between two looks, however much happens
  const FIRST_WAIT = 1_000, LONGEST_WAIT = 30_000; // between two attempts while the daemon does not answer
  const STALE = 40_000; // after this long without an answer nothing here is live: this machine may have slept
  const SPEAK = 15_000; // between two headlines that are read aloud
  const TICK = 5_000;
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  const sign = find("live"), form = find("filter");
  let wait = FIRST_WAIT, timer = 0, due = 0, stream = null, busy = false, again = false;
  let asked = 0, heard = Date.now(), skew = Date.parse(find("asof").dateTime) - heard;
  let title = document.title, isLive = false;
  root.classList.add("scripted");

  // Which state of the daemon this page shows; empty where it does not show all of one, so that all is asked for.
  let known = form && location.search ? "" : root.dataset.since;
  const source = () => (form ? "/" : location.pathname) + (known && `?since=${encodeURIComponent(known)}`);

  // ---- what changed ----
  const FOCUSABLE = "a[href], button, input, pre, summary";
  const isEmpty = (element) => element.childNodes.length === 0 && !element.dataset.version;
  // Asked for once an update: to ask again after a row was replaced would lay out the whole page each time.
  let focused = null, range = null;
  function look() {
    const selection = getSelection();
    focused = document.activeElement;
    range = selection.rangeCount > 0 ? selection.getRangeAt(0) : null;
  }
  const isSelected = (element) => range !== null && !range.collapsed && range.intersectsNode(element);
  function replace(old, fresh) {
    const at = old.contains(focused) ? [...old.querySelectorAll(FOCUSABLE)].indexOf(focused) : -1;
    const open = old.querySelector("details")?.open;
    old.replaceWith(fresh);
    prepare(fresh);
    if (open) fresh.querySelector("details")?.setAttribute("open", "");
    if (at >= 0) ([...fresh.querySelectorAll(FOCUSABLE)][at] ?? find("main")).focus({ preventScroll: true });
  }
  // Those that can stay where they are when all come into this order: the longest run that is in it already.
  function inOrder(parent, elements) {
    const place = new Map([...parent.children].map((child, at) => [child, at]));
    const ends = [], before = new Map(); // at n stands the foremost end of a run of n + 1
    for (const element of elements) {
      let low = 0, high = ends.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (place.get(ends[middle]) < place.get(element)) low = middle + 1; else high = middle;
      }
      before.set(element, ends[low - 1]);
      ends[low] = element;
    }
    const run = new Set();
    for (let element = ends.at(-1); element; element = before.get(element)) run.add(element);
    return run;
  }
  let isHeld = false, isMissing = false;
  function patch(old, fresh) {
    const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    const wanted = [...fresh.children].filter((child) => child.id);
    const kept = new Set(wanted.map((child) => child.id));
    for (const [id, child] of known) if (!kept.has(id)) child.remove();
    const stays = inOrder(old, wanted.map((child) => known.get(child.id)).filter((mine) => mine));
    let cursor = old.firstElementChild;
    for (const child of wanted) {
      let mine = known.get(child.id);
      if (!mine && isEmpty(child)) {
        isMissing = true; // It is said to be the same, and was never here.
        continue;
      }
      if (!mine) {
        mine = document.importNode(child, true);
        old.insertBefore(mine, cursor);
        prepare(mine);
        continue;
      }
      if (stays.has(mine) || mine === cursor) cursor = mine.nextElementSibling;
      else old.insertBefore(mine, cursor);
      if ("keyed" in child.dataset) {
        patch(mine, child);
      } else if (!child.dataset.version) {
        for (const inner of child.querySelectorAll("[data-keyed]")) patch(find(inner.id), inner);
      } else if (child.dataset.version !== mine.dataset.version) {
        if (isSelected(mine)) isHeld = true; // Somebody is about to copy it: the next look brings it again.
        else replace(mine, document.importNode(child, true));
      }
    }
  }
  function take(fresh) {
    if (fresh.documentElement.dataset.build !== root.dataset.build) return location.reload();
    heard = Date.now();
    title = fresh.title;
    for (const text of fresh.querySelectorAll("[data-live]")) {
      const mine = find(text.id);
      if (text.dateTime) mine.dateTime = text.dateTime;
      if (mine && mine.textContent !== text.textContent) mine.textContent = text.textContent;
    }
    skew = Date.parse(find("asof").dateTime) - heard;
    isHeld = isMissing = false;
    look();
    for (const id of ["standing", "worst", "main"]) {
      const part = fresh.getElementById(id);
      if (part && find(id)) patch(find(id), part);
    }
    if (isMissing) known = "";
    else if (!isHeld) known = fresh.documentElement.dataset.since;
    again ||= isMissing;
    select();
    grow();
    speak();
  }

  // ---- when to ask ----
  // What is old must not look well: not in the tab, not at the top, and not where somebody has scrolled to.
  function live() {
    if (document.title !== title) document.title = title;
    if (isLive) return;
    isLive = true;
    root.classList.remove("lost");
    sign.textContent = "live";
    find("lost").hidden = true;
  }
  function lose(why) {
    document.title = `Not live · ${title}`;
    const at = find("asof").textContent;
    const words = `Not live: ${why}. All that stands here is as it was at ${at}, and may be wrong by now.`;
    if (find("lost").textContent !== words) find("lost").textContent = words;
    isLive = false;
    root.classList.add("lost");
    sign.textContent = "not live";
    find("lost").hidden = false;
  }
  async function refresh() {
    clearTimeout(timer);
    timer = 0;
    if (busy) { again = true; return; }
    if (document.hidden) return;
    busy = true;
    asked = Date.now();
    let next = REFRESH;
    try {
      const answer = await fetch(source(), { signal: AbortSignal.timeout(20_000), headers: { accept: "text/html" } });
      if (!answer.ok && answer.status !== 404) throw new Error(`the daemon answers ${answer.status}`);
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      wait = FIRST_WAIT;
      if (!document.hidden) live();
      if (stream === null && !document.hidden) listen();
    } catch (error) {
      lose(error.message.startsWith("the daemon") ? error.message : "the daemon does not answer");
      hush();
      next = wait;
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
    busy = false;
    if (again) next = PACE;
    again = false;
    soon(next);
  }
  // The sooner of two plans holds, so that no stream of events can put off a look for ever.
  function soon(next) {
    const at = Date.now() + next;
    if (timer && due <= at) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(refresh, next);
  }
  function listen() {
    stream = new EventSource("/api/v1/stream");
    const happened = () => (busy ? (again = true) : soon(Math.max(SETTLE, asked + PACE - Date.now())));
    for (const kind of root.dataset.kinds.split(" ")) stream.addEventListener(kind, happened);
    let isOpen = false;
    stream.onopen = () => { isOpen = true; };
    // Who ends a stream may be ending: the next look will tell. Who refuses one has no place for another listener.
    stream.onerror = () => { hush(); if (!document.hidden) soon(isOpen ? FIRST_WAIT : REFRESH); };
  }
  function hush() {
    stream?.close();
    stream = null;
  }
  // A page out of sight asks for nothing; the tab must not go on to say that all is well.
  function show() {
    if (!document.hidden) { refresh(); setTimeout(tick, PACE); return; }
    hush();
    document.title = `Paused · ${document.querySelector("h1").textContent}`;
  }
  function tick() {
    if (document.hidden) return;
    if (Date.now() - heard > STALE && isLive) lose("no answer of the daemon for a while");
    grow();
    speak();
  }
  document.addEventListener("visibilitychange", show);
  addEventListener("pagehide", hush);
  setInterval(tick, TICK);

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
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || !form || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input")) return;
    event.preventDefault();
    form.elements.q.select();
  });
  form?.addEventListener("input", () => { select(); remember(); });
  form?.addEventListener("submit", (event) => { event.preventDefault(); select(); remember(); });

  // ---- ages and commands ----
  function grow() {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const seconds = Math.max(0, (Date.now() + skew - Date.parse(time.dateTime)) / 1000);
      const [size, unit] = [[86_400, "d", 172_800], [3_600, "h", 3_600], [60, "min", 60]].find(([, , from]) => seconds >= from) ?? [];
      const words = size ? `${Math.floor(seconds / size)} ${unit} ago` : "just now";
      if (time.textContent !== words) time.textContent = words;
    }
  }
  let spoken = find("headline")?.textContent, spokenAt = 0;
  function speak() {
    const words = find("headline").textContent;
    if (words === spoken || Date.now() - spokenAt < SPEAK) return;
    find("said").textContent = spoken = words;
    spokenAt = Date.now();
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
  live();
  if (document.hidden) return show();
  listen();
  // What the server has left out for a page without scripts is asked for at once.
  if (known) soon(REFRESH); else refresh();
})();
