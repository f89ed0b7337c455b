"use strict";
(() => {
  const all = (what, at = document) => [...at.querySelectorAll(what)];
  const make = (tag, text, kind) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (kind) node.className = kind;
    return node;
  };
  const count = (n) => n.toLocaleString("en-US");

  // What was packed in Python (gzip, base64) as text again.
  const unpack = async (node) => {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack it");
    const bytes = Uint8Array.from(atob(node.textContent.trim()), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };

  // -- light and dark: the system's, or what the reader chose ------------------------------------------------------
  const theme = document.getElementById("theme");
  const themes = ["system", "light", "dark"];
  const keep = (value) => { try { localStorage.setItem("devbench-theme", value); } catch { /* a file may not keep anything */ } };
  const setTheme = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    theme.textContent = "Theme: " + name;
    theme.dataset.now = name;
  };
  let kept = null;
  try { kept = localStorage.getItem("devbench-theme"); } catch { /* nothing is kept */ }
  setTheme(themes.includes(kept) ? kept : "system");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(theme.dataset.now) + 1) % themes.length];
    setTheme(next);
    keep(next);
  });

  // -- tables: sorted, filtered, a page of rows at a time ----------------------------------------------------------
  const cellOf = (td) => {
    const link = td.querySelector("a");
    return [td.textContent, td.dataset.sort === undefined ? null : Number(td.dataset.sort), td.dataset.kind || "", link ? link.getAttribute("href") : ""];
  };
  const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

  // So many rows of a table are printed at most.
  const PRINTED = 2000;
  const idle = (what) => (window.requestIdleCallback ? requestIdleCallback(what, { timeout: 2000 }) : setTimeout(what, 200));

  const startTable = (box) => {
    const body = box.querySelector("tbody"), heads = all("thead th", box), tools = box.querySelector(".tools");
    const pager = box.querySelector(".pager"), status = box.querySelector("[role=status]"), input = box.querySelector("input[type=search]");
    const packed = box.querySelector("script"), whole = Number(box.dataset.rows), ROWS = Number(box.dataset.seen);
    const kinds = heads.map((th) => th.className), numeric = kinds.map((kind) => kind === "n");
    const note = make("p", "", "soft");
    let rows = null, found = [], first = 0, order = null, wanted = 0;

    const load = async () => {
      if (rows) return;
      if (packed) {
        const cells = JSON.parse(await unpack(packed));
        rows = rows || cells.map((row) => row.map((c) => (Array.isArray(c) ? [c[0], c[1] ?? null, c[2] || "", c[3] || ""] : [c, null, "", ""])));
      } else rows = all("tr", body).map((tr) => all("td", tr).map(cellOf));
      for (const row of rows) row.text = row.map((c) => c[0]).join("\u0000").toLowerCase();
    };
    const draw = (rowsToShow = found.slice(first, first + ROWS)) => {
      const drawn = document.createDocumentFragment();
      for (const row of rowsToShow) {
        const tr = make("tr");
        row.forEach(([text, , kind, link], n) => {
          const td = make("td", link ? undefined : text, (kinds[n] + " " + kind).trim());
          if (link) { const a = make("a", text); a.setAttribute("href", link); td.append(a); }
          tr.append(td);
        });
        drawn.append(tr);
      }
      body.replaceChildren(drawn);
      status.textContent = found.length === rows.length ? count(rows.length) + " rows" : count(found.length) + " of " + count(rows.length) + " rows";
      pager.hidden = found.length <= ROWS;
      const [back, where, on] = pager.children;
      where.textContent = "rows " + count(Math.min(first + 1, found.length)) + "–" + count(Math.min(first + ROWS, found.length)) + " of " + count(found.length);
      back.disabled = first === 0;
      on.disabled = first + ROWS >= found.length;
    };
    const compare = (n, sign) => (a, b) => {
      const [x, y] = [a[n], b[n]];
      if (numeric[n]) {
        if (x[1] === null || y[1] === null) return (x[1] === null) - (y[1] === null);
        return sign * (x[1] - y[1]);
      }
      return (x[0] === "") - (y[0] === "") || sign * x[0].localeCompare(y[0], "en", { numeric: true });
    };
    const refresh = async (page = 0) => {
      const mine = ++wanted;
      try { await load(); } catch (error) { status.textContent = "the rows cannot be shown: " + error.message; return; }
      if (mine !== wanted) return;
      choose();
      first = page;
      draw();
    };
    const choose = () => {
      const texts = words(input.value), chosen = all("select", tools).filter((s) => s.value).map((s) => [Number(s.dataset.column), s.value]);
      found = rows.filter((row) => texts.every((w) => row.text.includes(w)) && chosen.every(([n, v]) => row[n][0] === v));
      if (order) found.sort(compare(order[0], order[1]));
    };
    heads.forEach((th, n) => {
      const button = make("button", th.textContent);
      button.type = "button";
      th.replaceChildren(button);
      th.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = th.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        order = [n, up ? 1 : -1];
        refresh();
      });
    });
    input.addEventListener("input", () => refresh());
    all("select", tools).forEach((select) => select.addEventListener("change", () => refresh()));
    const [back, , on] = pager.children;
    back.addEventListener("click", () => refresh(Math.max(0, first - ROWS)));
    on.addEventListener("click", () => refresh(first + ROWS));
    if (whole > 8) tools.hidden = false;
    box.querySelector(".more")?.remove();
    status.textContent = count(whole) + " rows";
    // Paper has no pages of a table: all rows that the filters leave are printed. Nothing can be unpacked at that time.
    addEventListener("beforeprint", () => {
      if (!rows || whole <= ROWS) return;
      choose();
      draw(found.slice(0, PRINTED));
      note.textContent = found.length > PRINTED ? "The first " + count(PRINTED) + " of " + count(found.length) + " rows; a filter makes them fewer." : status.textContent;
      box.append(note);
    });
    addEventListener("afterprint", () => { if (note.parentNode) { note.remove(); draw(); } });
    if (packed) {
      idle(() => load().catch(() => {}));
      // A large table is unpacked when it comes into view, not when the page opens.
      const seen = new IntersectionObserver((entries) => { if (entries.some((e) => e.isIntersecting)) { seen.disconnect(); if (!found.length) refresh(); } });
      seen.observe(box);
    }
  };
  all(".table").forEach(startTable);

  // -- a job's details and its raw outputs -----------------------------------------------------------------------------
  const details = document.getElementById("job-detail"), chunks = new Map();
  const showJob = async () => {
    const match = /^#job-(\d+)$/.exec(location.hash);
    if (!match) return;
    const place = document.getElementById("job-" + match[1]);
    if (place && place.tagName === "DETAILS") {
      place.open = true;
      place.querySelector("summary").focus();
      return;
    }
    if (!details) return;
    const size = Number(details.dataset.chunk), chunk = Math.floor((Number(match[1]) - 1) / size);
    const node = document.getElementById("jobs-" + chunk);
    if (!node) return;
    if (!chunks.has(chunk)) chunks.set(chunk, unpack(node).then(JSON.parse));
    let html;
    try { html = (await chunks.get(chunk))[match[1]]; } catch (error) { html = null; details.textContent = "The details cannot be shown: " + error.message; }
    if (!html) return;
    const holder = document.createElement("template");
    holder.innerHTML = html;
    details.replaceChildren(holder.content);
    const head = details.querySelector("h3");
    head.tabIndex = -1;
    head.focus();
    details.scrollIntoView();
  };
  addEventListener("hashchange", showJob);
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#job-"]');
    if (link && link.getAttribute("href") === location.hash) showJob();
  });
  showJob();

  const bundles = new Map();
  document.addEventListener("toggle", async (event) => {
    const pre = event.target.open && event.target.querySelector && event.target.querySelector(":scope > pre[data-raw]");
    if (!pre || pre.dataset.done) return;
    pre.dataset.done = "yes";
    const node = document.getElementById("raw-" + pre.dataset.job);
    if (!node) return;
    if (!bundles.has(node.id)) bundles.set(node.id, unpack(node).then(JSON.parse));
    try { pre.textContent = (await bundles.get(node.id))[Number(pre.dataset.raw)] ?? "not in this page; see the store"; }
    catch (error) { pre.textContent = "it cannot be shown: " + error.message; }
  }, true);
})();
