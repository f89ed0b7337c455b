"use strict";
// Draws the charts of a page with Apache ECharts, from the data next to them. It knows two kinds: rows and panels.
(() => {
  const boxes = [...document.querySelectorAll(".charts")];
  if (!boxes.length) return;
  const root = document.documentElement;
  const make = (tag, text, kind) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (kind) node.className = kind;
    return node;
  };
  const unpack = async (node) => {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack it");
    const bytes = Uint8Array.from(atob(node.textContent.trim()), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  let loading = null;
  const library = () => loading ??= unpack(document.getElementById("chart-library")).then((text) => {
    const script = make("script");
    script.textContent = text;
    document.head.append(script);
  });

  // -- colours, sizes, numbers ---------------------------------------------------------------------------------------
  const probe = make("span", "", "hide");
  const live = make("div", "", "unseen");
  live.setAttribute("aria-live", "polite");
  document.body.append(probe, live);
  let colours = {};
  const css = (name) => colours[name] ??= (probe.style.color = `var(--${name})`, getComputedStyle(probe).color);
  const ruler = make("canvas").getContext("2d");
  const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif", SMALL = 11.5;
  const wide = (text, bold) => { ruler.font = `${bold ? 600 : 400} 12px ${FONT}`; return ruler.measureText(text).width; };
  const widest = (texts) => Math.ceil(Math.max(0, ...texts.map((text) => wide(text))));
  const cut = (text, width) => {
    if (wide(text) <= width) return text;
    let n = text.length;
    while (n > 1 && wide(text.slice(0, n) + "…") > width) n -= 1;
    return text.slice(0, n).trimEnd() + "…";
  };
  const clean = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, " ");
  const number = (value) => (value === 0 ? "0" : Number(value.toPrecision(Math.abs(value) >= 1000 ? 6 : 3)).toLocaleString("en-US", { maximumFractionDigits: 6 })).replace("-", "−");
  const day = (at) => new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");
  const hatch = () => ({ symbol: "rect", color: css("paper"), dashArrayX: [1, 0], dashArrayY: [2, 3], rotation: -Math.PI / 4 });
  const axisText = (more) => ({ color: css("soft"), fontSize: SMALL, fontFamily: FONT, hideOverlap: true, ...more });
  const tooltip = (formatter) => ({
    trigger: "axis", confine: true, transitionDuration: 0, backgroundColor: css("paper"), borderColor: css("rule"), padding: [6, 10],
    textStyle: { color: css("ink"), fontSize: 12.5, fontFamily: FONT }, extraCssText: "box-shadow:none;max-width:30rem;white-space:normal", formatter,
  });
  // A DOM node: strings would be taken as HTML, and names come from models and devices.
  const tip = (title, rows, words) => {
    const box = make("div", undefined, "tip"), table = make("table");
    box.append(make("b", clean(title)));
    for (const [colour, ...cells] of rows) {
      const tr = make("tr"), mark = make("td", colour ? "■" : "");
      if (colour) mark.style.color = colour;
      tr.append(mark, ...cells.map((cell) => make("td", clean(cell))));
      table.append(tr);
    }
    if (rows.length) box.append(table);
    for (const text of words) box.append(make("p", clean(text)));
    return box;
  };
  const shown = (state) => (name) => state.selected[name] !== false;
  // The distance between about n marks of an axis: 1, 2, 2.5 or 5 times a power of ten.
  const stepOf = (span, n) => { const raw = span / n, power = 10 ** Math.floor(Math.log10(raw)); return power * [1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999); };

  // -- bars in rows: the rows of one group; all groups of a chart share their axis ---------------------------------------
  const rowsChart = (chart, width, state, group) => {
    const stacked = Boolean(chart.stacked), falls = chart.groups.some((one) => one.rows.some((row) => (row.bars || []).some((bar) => bar.start != null))), on = shown(state), several = chart.series.length > 1, lines = [];
    const nameOf = (bar) => chart.series[bar.series || 0].name, rowsOf = (one) => one.rows.filter(state.wanted), visible = (row) => (row.bars || []).filter((bar) => on(nameOf(bar)));
    for (const row of rowsOf(group)) {
      const bars = visible(row);
      if (stacked || bars.length < 2) lines.push({ row, label: clean(row.label), bars, text: stacked || !bars.length ? row.text || "" : bars[0].text || "" });
      else bars.forEach((bar, n) => lines.push({ row, label: n ? "" : clean(row.label), bars: [bar], text: bar.text || "" }));
    }
    const all = chart.groups.flatMap(rowsOf), ends = all.flatMap((row) => [...(stacked ? [visible(row).reduce((sum, bar) => sum + bar.value, 0)] : visible(row).map((bar) => bar.value)), ...visible(row).flatMap((bar) => [bar.low, bar.high]), ...(row.points || []).map((p) => p.value)]).filter((value) => value != null);
    // Equal for all groups, so that their axes can be compared.
    const left = Math.min(widest(all.map((row) => clean(row.label))), 0.42 * width) + 10, right = Math.min(widest(all.flatMap((row) => [clean(row.text || ""), ...(stacked ? [] : (row.bars || []).map((bar) => clean(bar.text || "")))])) + 12, 0.4 * width);
    const dots = all.some((row) => row.points?.length), step = dots ? 26 : 21, top = 2;
    const log = Boolean(chart.log) && ends.every((value) => value > 0), least = ends.reduce((a, b) => Math.min(a, b), log ? Infinity : 0), most = ends.reduce((a, b) => Math.max(a, b), log ? 0 : least < 0 ? 0 : 1e-9);
    const gap = log ? 1 : stepOf(most - least, Math.max(3, Math.min(6, Math.round((width - left - right) / 60))));
    const labels = (of, more) => ({ type: "category", inverse: true, data: lines.map((_, n) => n), axisTick: { show: false }, axisLabel: { interval: 0, margin: 0, fontSize: 12, fontFamily: FONT, formatter: (n) => of(lines[n]), ...more } });
    // Bars of a waterfall lie on a bar that is not seen.
    const base = falls ? [{ type: "bar", stack: "all", barGap: "-100%", barWidth: 11, silent: true, itemStyle: { color: "transparent" }, data: lines.map(({ bars: [bar] }) => bar ? Math.min(bar.start ?? 0, bar.value) : "-") }] : [];
    const series = [...base, ...chart.series.map((one, number) => ({
      type: "bar", name: one.name, stack: stacked || falls ? "all" : undefined, barGap: "-100%", barWidth: 11, color: css(one.colour), itemStyle: stacked ? { borderColor: css("paper"), borderWidth: 0.6 } : {},
      data: lines.map((line) => {
        const bar = line.bars.find((b) => (b.series || 0) === number);
        if (!bar) return "-";
        const style = { color: css(bar.colour || one.colour) };
        if (line.row.unreliable) Object.assign(style, { color: "transparent", borderColor: css("soft"), borderType: "dashed", borderWidth: 1, decal: { ...hatch(), color: css("rule") } });
        else if (line.row.virtual) style.decal = hatch();
        return { value: falls ? Math.abs(bar.value - (bar.start ?? 0)) : bar.value, itemStyle: style };
      }),
    }))];
    const ranged = lines.flatMap((line, n) => line.bars.filter((bar) => bar.low != null && bar.high != null).map((bar) => [bar.low, bar.high, n]));
    if (ranged.length) series.push({
      type: "custom", silent: true, z: 5, data: ranged, encode: { x: [0, 1], y: 2 }, renderItem: (_, api) => {
        const [a, y] = api.coord([api.value(0), api.value(2)]), b = api.coord([api.value(1), api.value(2)])[0], style = { stroke: css("ink"), lineWidth: 1 };
        const line = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style });
        return { type: "group", children: [line(a, y, b, y), line(a, y - 3, a, y + 3), line(b, y - 3, b, y + 3)] };
      },
    });
    const marks = { counted: ["circle", 4], outlier: ["emptyCircle", 5], unreliable: ["path://M-4,-3 L-3,-4 L0,-1 L3,-4 L4,-3 L1,0 L4,3 L3,4 L0,1 L-3,4 L-4,3 L-1,0 Z", 5] };
    for (const [kind, [symbol, symbolSize]] of Object.entries(marks)) {
      const data = lines.flatMap((line, n) => (line.row.points || []).filter((p) => p.kind === kind).map((p) => [p.value, n]));
      if (data.length) series.push({ type: "scatter", silent: true, z: 4, symbol, symbolSize, symbolOffset: [0, 10], color: css("dot"), data });
    }
    const words = (n) => {
      const line = lines[n];
      if (!line) return [];
      const told = line.bars.filter((bar) => bar.value).map((bar) => bar.words || `${line.row.label}: ${bar.text}`), points = (line.row.points || []).map((p) => number(p.value) + (p.kind === "counted" ? "" : ` (${p.kind})`));
      return [...(told.length ? told : [`${line.row.label}: ${line.text}`]), ...(points.length ? [`processes: ${points.slice(0, 12).join(", ")}${points.length > 12 ? " …" : ""}`] : [])];
    };
    const bottom = group === chart.groups.find((one) => rowsOf(one).length) ? 40 : 22, height = top + lines.length * step + bottom;
    return {
      height, count: lines.length, say: (n) => words(n).join(". "),
      show: (plot, n) => ({ type: "showTip", x: plot.convertToPixel({ yAxisIndex: 0, xAxisIndex: 0 }, [most, n])[0] - 8, y: top + (n + 0.5) * step }),
      option: {
        animation: false, aria: { enabled: true, label: { enabled: false }, decal: { show: false } }, grid: { left, right: right + 4, top, bottom, outerBoundsMode: "none" },
        xAxis: { type: log ? "log" : "value", name: group === chart.groups.find((one) => rowsOf(one).length) ? chart.unit + (log ? " (logarithmic)" : "") : "", nameLocation: "middle", nameGap: 24, nameTextStyle: { color: css("soft"), fontSize: SMALL, fontFamily: FONT }, ...(log ? { min: least / 2, max: most * 1.1 } : { min: Math.floor(least / gap) * gap, max: Math.ceil(most / gap) * gap, interval: gap }), splitLine: { lineStyle: { color: css("line") } }, axisLabel: axisText({ formatter: number }) },
        yAxis: [{ ...labels((line) => cut(line.label, left - 8), { align: "left", margin: left - 2, color: css("ink") }), axisLine: { lineStyle: { color: css("rule") }, onZero: true } },
          { ...labels((line) => cut(clean(line.text || ""), right - 6), { align: "left", margin: 6, color: css("ink") }), position: "right", axisLine: { show: false } }],
        tooltip: { ...tooltip((p) => { const n = (Array.isArray(p) ? p[0] : p).dataIndex, said = words(n); return said.length ? tip(lines[n].row.label, [], said) : ""; }), axisPointer: { type: "shadow", shadowStyle: { color: css("ink"), opacity: 0.05 } } },
        series,
      },
      table: () => [["", ...(several ? ["what"] : []), chart.unit, "interval"], chart.groups.flatMap((one) => rowsOf(one).flatMap((row) => (row.bars?.length ? row.bars : [null]).map((bar) => [[one.head, row.label].filter(Boolean).join(" · "), ...(several ? [bar ? nameOf(bar) : ""] : []), bar ? bar.text || number(bar.value) : row.text, bar && bar.low != null ? `${number(bar.low)} to ${number(bar.high)}` : ""])))],
    };
  };

  // -- panels over time --------------------------------------------------------------------------------------------------
  const panelsChart = (chart, width, state) => {
    const on = shown(state);
    const dates = Boolean(chart.dates), panels = chart.panels.map((panel) => ({ ...panel, lines: (panel.lines || []).filter((line) => state.wanted(line) && on(line.name)), spans: panel.spans || [], marks: (panel.marks || []).filter((mark) => on(mark.line)), rows: panel.rows || [] }));
    const lines = panels.flatMap((panel) => panel.lines), when = (at) => (dates ? at * 1000 : at), written = (at) => (dates ? day(at) : number(at));
    const spans = [...(chart.behind || []), ...panels.flatMap((panel) => panel.spans)];
    const times = [...new Set([...lines.flatMap((line) => line.form === "level" ? [] : line.at), ...(lines.length ? [] : spans.flatMap((span) => [span.start, span.end]))])].sort((a, b) => a - b);
    const ends = [...times, ...spans.flatMap((span) => [span.start, span.end]), ...panels.flatMap((panel) => panel.marks.map((mark) => mark.at))];
    const from = ends.reduce((a, b) => Math.min(a, b), Infinity), room = (span) => from + (span.end - from) / Math.max(1 - (wide(span.text) + 10) / (width * 0.7), 0.2), to = [...ends, ...spans.filter((span) => span.text).map(room)].reduce((a, b) => Math.max(a, b), -Infinity), margin = 0.01 * (to - from || 1);
    const labelled = !dates && lines.some((line) => (line.form || "line") === "line"), narrow = width < 520;
    const left = Math.max(52, Math.min(widest(panels.flatMap((panel) => panel.rows.map(clean))), 0.3 * width) + 10), right = labelled || dates ? (narrow ? 74 : 150) : 16;
    const grid = [], xAxis = [], yAxis = [], titles = [], series = [];
    let top = 4;
    panels.forEach((panel, n) => {
      const tall = Math.round(panel.height ? 15 * panel.height : 120), last = n === panels.length - 1, where = { xAxisIndex: n, yAxisIndex: n };
      titles.push({ type: "text", left: 0, top, style: { text: clean(panel.title), fill: css("ink"), font: `600 12px ${FONT}` } });
      const marked = panel.marks.some((mark) => mark.text);
      top += marked ? 34 : 20;
      grid.push({ left, right, top, height: tall, outerBoundsMode: "none" });
      xAxis.push({ type: dates ? "time" : "value", gridIndex: n, min: when(from - margin), max: when(to + margin), axisTick: { show: false }, axisLine: { onZero: false, lineStyle: { color: css("rule") } }, splitLine: { show: false }, splitNumber: narrow ? 3 : 7, axisLabel: axisText({ show: last, ...(dates ? {} : { showMinLabel: false, showMaxLabel: false }), formatter: (value) => (dates ? day(value / 1000).slice(0, to - from > 3 * 86400 ? 10 : 16) : number(value)) }), axisPointer: { label: { show: false } } });
      if (panel.rows.length) yAxis.push({ type: "category", gridIndex: n, inverse: true, data: panel.rows.map((_, k) => k), axisTick: { show: false }, axisLine: { show: false }, axisLabel: { interval: 0, color: css("ink"), fontSize: 12, fontFamily: FONT, formatter: (k) => cut(clean(panel.rows[k]), left - 8) } });
      else yAxis.push({ type: panel.log ? "log" : "value", gridIndex: n, scale: panel.low == null, min: panel.low ?? undefined, max: panel.high ?? undefined, axisTick: { show: false }, splitNumber: Math.max(2, Math.round(tall / 50)), axisLine: { show: false }, splitLine: { lineStyle: { color: css("line") } }, axisLabel: axisText({ ...(panel.high == null ? {} : { showMaxLabel: false }), formatter: number }) });
      const stretches = [...(chart.behind || []).map((span) => ({ ...span, row: null })), ...panel.spans];
      if (stretches.length) series.push({
        type: "custom", ...where, silent: true, z: 0, clip: true, data: stretches.map((_, k) => [when(from), panel.rows.length ? 0 : null, k]), encode: { x: 0, y: 1, tooltip: [] }, renderItem: (params, api) => {
          const span = stretches[params.dataIndexInside], box = params.coordSys, x1 = Math.max(box.x, api.coord([when(span.start), 0])[0]), x2 = Math.min(box.x + box.width, api.coord([when(span.end), 0])[0]);
          if (x2 < x1) return undefined;
          const high = span.row == null ? box.height : 13, y = span.row == null ? box.y : api.coord([when(span.start), span.row])[1] - high / 2, strong = { faint: 0.1, pale: 0.24, outline: 1, solid: 1, hatched: 0.55 }[span.form || "faint"];
          const bar = { type: "rect", shape: { x: x1, y, width: Math.max(x2 - x1, 0.5), height: high }, style: span.form === "outline" ? { fill: "none", stroke: css(span.colour) } : { fill: css(span.colour), opacity: strong } };
          const text = span.text && { type: "text", style: { text: span.text, x: x2 + 4, y: y + high / 2, verticalAlign: "middle", fill: css("ink"), font: `11px ${FONT}` } };
          return { type: "group", children: text ? [bar, text] : [bar] };
        },
      });
      for (const line of panel.lines) {
        const colour = css(line.colour), form = line.form || "line", at = line.at, data = at.map((t, k) => [when(t), line.values[k]]), lows = line.lows || [], highs = line.highs || [], known = line.values.findIndex((v) => v != null);
        const end = [...line.values].reverse().find((v) => v != null), label = dates ? `${clean(line.name)}  ${end == null ? "" : number(end)}` : clean(line.name);
        if (lows.length && highs.length && known >= 0) series.push({
          type: "custom", name: line.name, ...where, silent: true, clip: true, z: 1, color: colour, encode: { x: 0, y: 1, tooltip: [] }, data: [data[known]], renderItem: (_, api) => {
            const runs = [];
            let now = null;
            at.forEach((_, k) => { if (lows[k] == null || highs[k] == null) { now = null; return; } if (!now) runs.push(now = []); now.push(k); });
            return { type: "group", children: runs.map((run) => ({ type: "polygon", shape: { points: [...run.map((k) => api.coord([when(at[k]), lows[k]])), ...[...run].reverse().map((k) => api.coord([when(at[k]), highs[k]]))] }, style: { fill: colour, opacity: 0.2 } })) };
          },
        });
        const common = { name: line.name, ...where, color: colour, data };
        if (form === "dots" || form === "crosses") series.push({ type: "scatter", ...common, symbolSize: 7, symbol: form === "dots" ? "circle" : "path://M-4,-3 L-3,-4 L0,-1 L3,-4 L4,-3 L1,0 L4,3 L3,4 L0,1 L-3,4 L-4,3 L-1,0 Z" });
        else series.push({
          type: "line", ...common, connectNulls: false, z: form === "level" ? 2 : 3, silent: form !== "line", showSymbol: form === "line" && data.length < 60, symbol: "circle", symbolSize: 4, stack: form === "area" ? `area ${n}` : undefined, areaStyle: form === "area" ? { opacity: 0.55 } : undefined, step: form === "cap" ? "end" : false,
          lineStyle: { width: { level: 4, cap: 1, area: 0 }[form] ?? 1.4, opacity: form === "level" ? 0.35 : 1, type: form === "cap" ? [3, 3] : "solid" },
          endLabel: form === "line" && (dates || panel.lines.length > 1) ? { show: true, formatter: () => cut(label, right - 10), color: colour, fontSize: 11.5, fontFamily: FONT, distance: 5 } : undefined, labelLayout: { moveOverlap: "shiftY" },
        });
      }
      panel.marks.forEach((mark) => series.push({
        type: "custom", name: mark.line || undefined, ...where, silent: true, z: 6, encode: { x: 0, y: 1, tooltip: [] }, color: css((panel.lines.find((line) => line.name === mark.line) || mark).colour), data: [[when(mark.at), panel.rows.length ? 0 : panel.lines[0]?.values.find((v) => v != null) ?? 0]], renderItem: (params, api) => {
          const box = params.coordSys, x = api.coord([when(mark.at), 0])[0], colour = css(mark.colour), edge = x > box.x + box.width - wide(mark.text || "") - 8;
          if (x < box.x - 1 || x > box.x + box.width + 1) return undefined;
          const line = { type: "line", shape: { x1: x, x2: x, y1: box.y - (mark.text ? 4 : 0), y2: box.y + box.height }, style: { stroke: colour, lineWidth: 1, lineDash: [3, 3] } };
          const text = mark.text && { type: "text", style: { text: mark.text, x: edge ? x - 3 : x + 3, y: box.y - 12, align: edge ? "right" : "left", verticalAlign: "middle", fill: colour, font: `600 11.5px ${FONT}` } };
          return { type: "group", children: text ? [line, text] : [line] };
        },
      }));
      top += tall + 12;
    });
    const moments = new Map((chart.moments || []).map(([at, words]) => [at, words])), near = (list, at) => {
      let low = 0, high = list.length - 1;
      while (high - low > 1) { const middle = (low + high) >> 1; if (list[middle] > at) high = middle; else low = middle; }
      return Math.abs(list[low] - at) <= Math.abs(list[high] - at) ? low : high;
    };
    // All that is known of a moment: values of lines, stretches that it is in, changes, the run with its commit.
    const told = (at) => {
      const rows = [], words = [];
      for (const line of lines) {
        if (line.form === "level" || !line.at.length) continue;
        const k = near(line.at, at);
        if (Math.abs(line.at[k] - at) > (dates ? 0 : Math.max((to - from) / 60, 1e-9))) { if (dates) rows.push([css(line.colour), line.name, "no result", ""]); continue; }
        const v = line.values[k];
        rows.push([css(line.colour), line.words?.[k] || line.name, line.words?.[k] ? "" : v == null ? "–" : number(v), line.lows?.[k] != null ? `${number(line.lows[k])} to ${number(line.highs[k])}` : ""]);
      }
      words.push(...new Set(spans.filter((span) => span.words && span.start <= at && at <= span.end).map((span) => span.words)));
      words.push(...panels.flatMap((panel) => panel.marks.filter((mark) => mark.words && mark.at === at).map((mark) => `Change: ${mark.words}`)));
      return [written(at) + (dates ? " UTC" : ""), rows, moments.has(at) ? [moments.get(at), ...words] : words];
    };
    const zoomed = times.length > 2, end = top + 14 + (chart.x_title ? 16 : 0);
    return {
      height: end + (zoomed ? 34 : 6), count: times.length,
      say: (n) => { const [title, rows, words] = told(times[n]); return [title, ...rows.map(([, ...cells]) => cells.filter(Boolean).join(" ")), ...words].join(", "); },
      show: (plot, n) => ({ type: "showTip", x: plot.convertToPixel({ xAxisIndex: 0 }, when(times[n])), y: grid[0].top + grid[0].height / 2 }),
      option: {
        animation: false, grid, xAxis, yAxis, series,
        graphic: [...titles, ...(chart.x_title ? [{ type: "text", left, top: top + 10, style: { text: chart.x_title, fill: css("soft"), font: `${SMALL}px ${FONT}` } }] : [])],
        axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: css("rule") } },
        tooltip: { ...tooltip((p) => { if (!times.length) return ""; const value = (Array.isArray(p) ? p[0] : p).axisValue, at = dates ? value / 1000 : value; return tip(...told(times[near(times, at)])); }), axisPointer: { type: "line" } },
        dataZoom: zoomed ? [{ type: "slider", xAxisIndex: panels.map((_, n) => n), filterMode: "none", left, right, top: end + 4, height: 18, start: state.zoom[0], end: state.zoom[1], borderColor: css("line"), fillerColor: css("line"), handleStyle: { color: css("soft") }, moveHandleSize: 0, showDataShadow: false, brushSelect: false, textStyle: { color: css("soft"), fontSize: 11, fontFamily: FONT }, labelFormatter: (value) => written(dates ? value / 1000 : value).slice(0, 10) }] : undefined,
      },
      table: () => {
        const every = chart.panels.flatMap((panel) => panel.lines || []).filter((line) => line.form !== "level" && state.wanted(line)), moment = [...new Set(every.flatMap((line) => line.at))].sort((a, b) => a - b);
        const value = (line, at) => { const k = line.at.indexOf(at); return k < 0 || line.values[k] == null ? "" : number(line.values[k]); };
        return [[dates ? "time (UTC)" : chart.x_title || "", ...(dates ? ["run"] : []), ...every.map((line) => line.name)], moment.map((at) => [written(at), ...(dates ? [moments.get(at) || ""] : []), ...every.map((line) => value(line, at))])];
      },
    };
  };

  // -- a figure: drawn when it comes into view, drawn again when its width, the theme or a filter changes -----------------
  const MOST_ROWS = 500;
  const fillTable = (holder, [heads, rows], title) => {
    const table = make("table"), head = make("tr"), body = make("tbody"), scroll = make("div", undefined, "scroll");
    head.append(...heads.map((text) => { const th = make("th", clean(text)); th.scope = "col"; return th; }));
    for (const row of rows.slice(0, MOST_ROWS)) {
      const tr = make("tr");
      tr.append(...heads.map((_, n) => make("td", clean(row[n] ?? ""))));
      body.append(tr);
    }
    const thead = make("thead");
    thead.append(head);
    table.append(make("caption", clean(title)), thead, body);
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", clean(title));
    scroll.append(table);
    holder.replaceChildren(scroll, ...(rows.length > MOST_ROWS ? [make("p", `The first ${MOST_ROWS} of ${rows.length} rows.`, "soft")] : []));
  };
  // What a reader can hide: name and colour.
  const namesOf = (chart) => {
    if (chart.kind === "rows") return chart.series.length < 2 ? [] : chart.series.filter((_, n) => chart.groups.some((g) => g.rows.some((r) => (r.bars || []).some((b) => (b.series || 0) === n))));
    const lines = chart.panels.flatMap((panel) => (panel.lines || []).filter((line) => chart.dates || panel.lines[0].form === "area" || ["dots", "crosses"].includes(line.form)));
    const found = [...new Map(lines.map((line) => [line.name, line])).values()];
    return found.length > 1 ? found : [];
  };
  const figures = new Set();
  const start = (figure, chart) => {
    const place = figure.querySelector(".plots"), details = figure.querySelector("details"), key = make("div", undefined, "key");
    const state = { selected: {}, zoom: [0, 100], wanted: () => true }, names = namesOf(chart);
    for (const panel of chart.panels || []) for (const line of panel.lines || []) if (line.hidden) state.selected[line.name] = false;
    const buttons = names.map(({ name, colour }) => {
      const button = make("button"), mark = make("i");
      button.type = "button";
      button.title = "Hide or show";
      button.append(mark, clean(name));
      button.addEventListener("click", () => { state.selected[name] = state.selected[name] === false; one.draw(); });
      return { name, colour, button, mark };
    });
    key.append(...buttons.map(({ button }) => button));
    if (names.length) place.before(key);
    // A plot for each group of rows, one for panels.
    const plots = (chart.kind === "rows" ? chart.groups : [null]).map((group, n) => {
      const box = n ? make("div", undefined, "panel") : place.firstElementChild, head = box.querySelector("h4") || make("h4"), plot = box.querySelector(".plot") || make("div", undefined, "plot"), mine = { group, box, plot, drawn: null, made: null, at: -1 };
      head.textContent = clean(group?.head || "");
      head.hidden = !head.textContent;
      box.replaceChildren(head, plot);
      if (n) place.append(box);
      plot.tabIndex = 0;
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-roledescription", "chart");
      const values = group ? `${chart.title}${group.head ? ", " + group.head : ""}: ${group.rows.map((row) => `${row.label} ${(row.bars || []).length === 1 ? row.bars[0].text || "" : row.text || ""}`).join("; ")}` : chart.alt;
      plot.setAttribute("aria-label", clean(`${values}. Arrow keys read the values.`));
      plot.addEventListener("keydown", (event) => {
        if (!mine.drawn || !mine.made.count) return;
        if (event.key === "Escape") { mine.drawn.dispatchAction({ type: "hideTip" }); mine.at = -1; return; }
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        // A history is read from its end.
        mine.at = mine.at < 0 ? (chart.dates ? mine.made.count - 1 : 0) : Math.max(0, Math.min(mine.made.count - 1, mine.at + step));
        mine.drawn.dispatchAction(mine.made.show(mine.drawn, mine.at));
        live.textContent = mine.made.say(mine.at);
      });
      return mine;
    });
    let width = 0;
    const build = (mine, wide) => (chart.kind === "rows" ? rowsChart : panelsChart)(chart, wide, state, mine.group);
    const table = () => { if (details.open) fillTable(details.querySelector(".rows"), build(plots[0], 800).table(), chart.title); };
    const one = {
      figure, seen: false,
      draw(asked) {
        width = place.clientWidth;
        if (!window.echarts || figure.hidden || !width) return;
        for (const { name, colour, button, mark } of buttons) {
          button.setAttribute("aria-pressed", String(state.selected[name] !== false));
          mark.style.background = css(colour);
        }
        for (const mine of plots) {
          mine.drawn?.dispose();
          mine.drawn = null;
          mine.box.hidden = Boolean(mine.group) && !mine.group.rows.some(state.wanted);
          if (mine.box.hidden) continue;
          const wide = Math.min(asked || Infinity, mine.plot.clientWidth);
          mine.made = build(mine, wide);
          mine.plot.style.height = mine.made.height + "px";
          mine.plot.style.minHeight = 0;
          mine.drawn = window.echarts.init(mine.plot, null, { renderer: "svg", width: wide, height: mine.made.height });
          mine.drawn.setOption(mine.made.option);
          mine.drawn.on("datazoom", () => { const zoom = mine.drawn.getOption().dataZoom[0]; state.zoom = [zoom.start, zoom.end]; });
          mine.plot.dataset.drawn = "yes";
        }
        table();
      },
      filter(wanted) { state.wanted = wanted; if (one.seen) one.draw(); },
    };
    details.addEventListener("toggle", table);
    new ResizeObserver(() => { if (one.seen && Math.abs(place.clientWidth - width) > 1 && !printing) one.draw(); }).observe(figure);
    figures.add(one);
    return one;
  };
  let printing = false;
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const one = entry.isIntersecting && [...figures].find((f) => f.figure === entry.target);
      if (one && !one.seen) { one.seen = true; library().then(() => one.draw()); }
    }
  }, { rootMargin: "300px" });

  // -- a box: the charts of one kind, of which the first ones that the filters leave are shown ----------------------------
  const startBox = (box) => {
    const packed = box.querySelector("script"), tools = box.querySelector(".tools"), select = tools?.querySelector("select"), first = Number(box.dataset.first);
    const made = new Map([...box.querySelectorAll("figure")].map((figure) => [Number(figure.dataset.chart), { figure }]));
    let charts = null, wanted = null;
    const has = (chart) => !wanted || (chart.kind === "rows" ? chart.groups.flatMap((g) => g.rows) : chart.panels.flatMap((p) => p.lines || [])).some(wanted);
    const figureOf = (n) => {
      if (!made.has(n)) {
        const figure = made.get(0).figure.cloneNode(true), chart = charts[n];
        figure.dataset.chart = n;
        figure.querySelector("figcaption").textContent = clean(chart.title);
        figure.querySelector(".key")?.remove();
        figure.classList.toggle("narrow", chart.kind === "rows" && chart.groups.length === 1);
        const panel = make("div", undefined, "panel");
        panel.append(make("div", undefined, "plot"));
        figure.querySelector(".plots").replaceChildren(panel);
        figure.querySelector(".note").textContent = clean(chart.note || "");
        figure.querySelector("details").open = false;
        figure.querySelector(".rows").replaceChildren();
        made.set(n, { figure });
        box.insertBefore(figure, packed);
      }
      const entry = made.get(n);
      entry.one ??= (seen.observe(entry.figure), start(entry.figure, charts[n]));
      return entry;
    };
    const show = () => {
      const chosen = select && select.value !== "" ? [Number(select.value)] : charts.map((_, n) => n).filter((n) => has(charts[n])).slice(0, first);
      for (const [n, { figure }] of made) figure.hidden = !chosen.includes(n);
      for (const n of chosen) { const entry = figureOf(n); entry.figure.hidden = false; entry.one.filter(wanted || (() => true)); }
    };
    let ready = null;
    const load = () => ready ??= unpack(packed).then((text) => { charts = JSON.parse(text); if (tools) tools.hidden = false; show(); });
    if (select) select.addEventListener("change", () => load().then(show));
    const near = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) { near.disconnect(); load().catch((error) => box.append(make("p", "The charts cannot be shown: " + error.message, "warn"))); } }, { rootMargin: "600px" });
    near.observe(box);
    return { box, load, filter(facets) { wanted = facets.length ? (row) => !(row.facets || []).length || facets.every(([name, value]) => row.facets.some(([n, v]) => n === name && (value === v || value.startsWith(v + " · "))) || !row.facets.some(([n]) => n === name)) : null; load().then(show); } };
  };
  const started = boxes.map(startBox);
  // The filters of a table choose the charts of its section; those of a section without charts choose all charts.
  document.addEventListener("change", (event) => {
    const select = event.target.closest?.(".table select[data-column]"), table = select?.closest(".table"), section = table?.closest("section");
    if (!table) return;
    const facets = [...table.querySelectorAll("select[data-column]")].filter((one) => one.value).map((one) => [one.closest("label").firstChild.textContent.trim().toLowerCase(), one.value]);
    const own = started.filter((one) => section?.contains(one.box));
    (own.length ? own : started).forEach((one) => one.filter(facets.filter(([name]) => ["device", "model", "delegate"].includes(name))));
  });
  const again = () => { colours = {}; if (!printing) figures.forEach((one) => one.seen && one.draw()); };
  new MutationObserver(again).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  // Paper is light, and as wide as paper; what was not in view yet is drawn if its data are there.
  let theme;
  addEventListener("beforeprint", () => { theme = root.dataset.theme; printing = true; root.dataset.theme = "light"; colours = {}; figures.forEach((one) => one.draw(680)); });
  addEventListener("afterprint", () => { printing = false; if (theme) root.dataset.theme = theme; else delete root.dataset.theme; again(); });
  const idle = (what) => (window.requestIdleCallback ? requestIdleCallback(what, { timeout: 4000 }) : setTimeout(what, 500));
  idle(() => library().then(() => started.slice(0, 12).forEach((one) => one.load().catch(() => {}))).catch(() => {}));
})();
