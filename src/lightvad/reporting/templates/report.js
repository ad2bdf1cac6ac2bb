// The page's life: tables that sort, plots that answer, score curves with their frames. Without it everything still
// stands on the page as text and pictures.
"use strict";

const INK = "#1d1d1f", SOFT = "#5b5f66", LINE = "#d9dbe0", ABNORMAL = "#f3d9d2";

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

// Tables -------------------------------------------------------------------------------------------------------------

function numberOf(cell) {
  const found = cell.textContent.replaceAll(",", "").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return found ? Number(found[0]) : null;
}

function compared(column, numeric, sign) {
  return (one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[column]);
    if (!numeric) return sign * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
    const [x, y] = [numberOf(a), numberOf(b)];
    if (x === null || y === null) return (x === null) - (y === null); // what has no number stays last
    return sign * (x - y);
  };
}

// A heading sorts: numbers from the largest, words from A; again: the other way; a third time: the paper's order.
function sortable(table) {
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  const order = [...body.rows];
  headings.forEach((heading, column) => {
    const button = element("button", { type: "button", title: "sort by this column" });
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numeric = heading.classList.contains("number");
      const first = numeric ? "descending" : "ascending", second = numeric ? "ascending" : "descending";
      const next = { [first]: second, [second]: null }[heading.ariaSort] ?? (heading.ariaSort === second ? null : first);
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) heading.ariaSort = next;
      const sign = next === "descending" ? -1 : 1;
      body.append(...(next ? [...order].sort(compared(column, numeric, sign)) : order));
    });
  });
}

// Speed against accuracy ---------------------------------------------------------------------------------------------

const SCOPES = { model: "model only", end_to_end: "end to end" };
const show = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function told(point) {
  const lines = [`${show(point.fps)} frames/s, micro AUC ${point.micro_auc.toFixed(1)} %`];
  if (point.source === "reported") return [...lines, `reported, on an ${point.device}`];
  const bounds = point.ci95_low === null ? "" : ` [${point.ci95_low.toFixed(1)}, ${point.ci95_high.toFixed(1)}]`;
  return [
    ...lines.map((line) => `${line} (protocol ${point.protocol})`),
    `plain ${point.plain.toFixed(1)} %${bounds}`,
    `measured here, ${SCOPES[point.scope]}`,
    `${point.device}, ${point.threads} threads, ${point.engine} ${point.precision}, batch ${point.batch}`,
  ];
}

// Names stand beside their points where there is room; the others are told by the pointer.
const names = {
  id: "names",
  afterDatasetsDraw(chart) {
    const context = chart.ctx, taken = [];
    const overlaps = (box) => taken.some((o) => box.x < o.x + o.w && o.x < box.x + box.w && box.y < o.y + o.h && o.y < box.y + box.h);
    const shown = chart.data.datasets.map((set, i) => [set, chart.getDatasetMeta(i)]).filter(([, meta]) => !meta.hidden);
    shown.forEach(([, meta]) => meta.data.forEach(({ x, y }) => taken.push({ x: x - 6, y: y - 6, w: 12, h: 12 })));
    context.save();
    for (const [set, meta] of shown) {
      context.font = `${set.measured ? "600 12px" : "11px"} ${Chart.defaults.font.family}`;
      context.fillStyle = set.borderColor;
      context.textBaseline = "middle";
      const fastest = set.data.reduce((best, other, i) => (other.x > set.data[best].x ? i : best), 0);
      for (const [i, { x, y }] of meta.data.entries()) {
        if (set.measured && i !== fastest) continue;
        const label = set.data[i].point.label, w = context.measureText(label).width, area = chart.chartArea;
        const places = [[9, 0], [-9 - w, 0], [-w / 2, -14], [-w / 2, 14], [9, -12], [9, 12], [-9 - w, -12], [-9 - w, 12]];
        const place = places.map(([dx, dy]) => ({ x: x + dx, y: y + dy - 6, w, h: 12 })).find((box) =>
          box.x > area.left && box.x + w < area.right + 8 && box.y > area.top && box.y + 12 < area.bottom && !overlaps(box));
        if (!place) continue;
        taken.push(place);
        context.fillText(label, place.x, place.y + 6);
      }
    }
    context.restore();
  },
};

const intervals = {
  id: "intervals",
  beforeDatasetsDraw(chart) {
    if (chart.options.accuracy !== "plain") return;
    const context = chart.ctx, scale = chart.scales.y;
    context.save();
    context.globalAlpha = 0.5;
    chart.data.datasets.forEach((set, i) => {
      if (!chart.isDatasetVisible(i)) return;
      context.fillStyle = set.borderColor;
      for (const { x, point } of set.data) {
        if (point.ci95_low === null) continue;
        const top = scale.getPixelForValue(point.ci95_high), bottom = scale.getPixelForValue(point.ci95_low);
        context.fillRect(chart.scales.x.getPixelForValue(x) - 1, top, 2, bottom - top);
      }
    });
    context.restore();
  },
};

function speedPlot(place, drawing) {
  const plain = element("input", { type: "checkbox" });
  const label = element("label", {}, plain, " accuracy under the plain protocol, with its 95 % interval (measured points)");
  const canvas = element("canvas", { role: "img", ariaLabel: `Speed against accuracy, ${drawing.title}` });
  place.append(element("h4", {}, drawing.title), element("div", { className: "canvas" }, canvas), element("p", { className: "controls" }, label));
  const datasets = () => {
    const of = (points) => points.map((point) => ({ x: point.fps, y: plain.checked ? point.plain ?? point.micro_auc : point.micro_auc, point }));
    const measured = drawing.methods.map(({ name, colour }) => {
      const own = drawing.points.filter((point) => point.source === "measured" && point.label === name);
      return {
        label: name, data: of(own), measured: true, showLine: true, borderColor: colour, backgroundColor: colour, borderWidth: 1.2,
        pointStyle: own.map((point) => (point.scope === "model" ? "circle" : "rect")), pointRadius: 6, pointHoverRadius: 8,
      };
    });
    const reported = drawing.points.filter((point) => point.source === "reported");
    if (!reported.length) return measured;
    const look = { borderColor: SOFT, backgroundColor: "#fff", borderWidth: 1.4, pointRadius: 5, pointHoverRadius: 7 };
    return [...measured, { label: `reported (${reported[0].device})`, data: of(reported), pointStyle: "circle", ...look }];
  };
  const speeds = drawing.points.map((point) => point.fps);
  const chart = new Chart(canvas, {
    type: "scatter",
    data: { datasets: datasets() },
    plugins: [intervals, names],
    options: {
      accuracy: "paper",
      maintainAspectRatio: false,
      animation: false,
      layout: { padding: { right: 14 } },
      scales: {
        x: {
          type: "logarithmic", min: Math.min(...speeds) / 1.4, max: Math.max(...speeds) * 1.4, grid: { color: LINE }, title: { display: true, text: "frames per second (log scale)" },
          ticks: { includeBounds: false, callback: (value) => (/^[125](e|\.0*e)/.test(value.toExponential()) ? String(value) : null) },
        },
        y: { grace: "8%", grid: { color: LINE }, title: { display: true, text: "micro AUC, %" } },
      },
      plugins: {
        legend: { position: "bottom", labels: { usePointStyle: true } },
        tooltip: { callbacks: { title: ([item]) => item.raw.point.label, label: (item) => told(item.raw.point) } },
      },
    },
  });
  plain.addEventListener("change", () => {
    chart.options.accuracy = plain.checked ? "plain" : "paper";
    chart.data.datasets = datasets();
    chart.update();
  });
}

// Scores over a clip -------------------------------------------------------------------------------------------------

const STATES = { "-1": "no label", 0: "normal", 1: "abnormal" };

const truth = {
  id: "truth",
  beforeDatasetsDraw(chart) {
    const { ctx: context, chartArea: area, scales } = chart, { frames, labels } = chart.options.drawing;
    context.save();
    context.fillStyle = ABNORMAL;
    frames.forEach((frame, i) => {
      if (labels[i] !== 1) return;
      const left = Math.max(scales.x.getPixelForValue(frame - 0.5), area.left), right = Math.min(scales.x.getPixelForValue(frame + 0.5), area.right);
      context.fillRect(left, area.top, right - left + 0.5, area.height);
    });
    context.restore();
  },
  afterDatasetsDraw(chart) {
    const x = chart.scales.x.getPixelForValue(chart.options.drawing.frames[chart.options.drawing.at]), area = chart.chartArea;
    chart.ctx.fillStyle = INK;
    chart.ctx.fillRect(x - 0.5, area.top - 3, 1, area.height + 3);
  },
};

function scorePlot(place, drawing) {
  const { frames, labels, curves, sheet } = drawing, abnormal = labels.indexOf(1);
  drawing.at = abnormal < 0 ? 0 : abnormal;
  const canvas = element("canvas", { role: "img", ariaLabel: `Frame scores, ${drawing.title}` });
  const picture = element("canvas", { width: sheet.width, height: sheet.height, className: "frame", role: "img", ariaLabel: "the frame, with the outline of the ground truth" });
  const slider = element("input", { type: "range", min: 0, max: frames.length - 1, step: 1, ariaLabel: `frame of ${drawing.title}` });
  const says = element("output"), values = element("tbody");
  const rows = curves.map((curve) => {
    const cell = element("td", { className: "number" });
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = curve.colour;
    values.append(element("tr", {}, element("td", {}, swatch, curve.method), cell));
    return cell;
  });
  const side = element("div", { className: "side" }, picture, says, element("table", { className: "values" }, values));
  const left = element("div", { className: "left" }, element("div", { className: "canvas" }, canvas), slider);
  place.append(element("h4", {}, drawing.title), element("div", { className: "scrub" }, left, side));
  const image = new Image();
  const chart = new Chart(canvas, {
    type: "line",
    data: {
      datasets: curves.map((curve) => ({
        label: curve.method, data: curve.values.map((y, i) => ({ x: frames[i], y })), borderColor: curve.colour,
        backgroundColor: curve.colour, borderDash: curve.dash, borderWidth: 1.8, pointRadius: 0, pointHitRadius: 0,
      })),
    },
    plugins: [truth],
    options: {
      drawing, parsing: false, animation: false, maintainAspectRatio: false, events: ["mousemove", "click", "touchstart", "touchmove"],
      onHover: (event) => {
        const value = chart.scales.x.getValueForPixel(event.x) - frames[0];
        go(Math.min(frames.length - 1, Math.max(0, Math.round(value))));
      },
      scales: {
        x: { type: "linear", min: frames[0] - 0.5, max: frames.at(-1) + 0.5, title: { display: true, text: "frame" }, grid: { display: false }, ticks: { includeBounds: false } },
        y: { min: 0, max: 1.02, title: { display: true, text: "score, stretched" }, grid: { color: LINE }, ticks: { stepSize: 0.5, includeBounds: false } },
      },
      plugins: { tooltip: { enabled: false }, legend: { position: "bottom", labels: { usePointStyle: true, pointStyle: "line" } } },
    },
  });

  function go(position) {
    drawing.at = chart.options.drawing.at = position;
    slider.value = position;
    const frame = frames[position];
    const nearest = sheet.frames.reduce((best, other, i) => (Math.abs(other - frame) < Math.abs(sheet.frames[best] - frame) ? i : best), 0);
    const column = nearest % sheet.columns, row = Math.floor(nearest / sheet.columns);
    if (image.complete) picture.getContext("2d").drawImage(image, column * sheet.width, row * sheet.height, sheet.width, sheet.height, 0, 0, sheet.width, sheet.height);
    says.textContent = `frame ${frame}: ${STATES[labels[position]]} (picture: frame ${sheet.frames[nearest]})`;
    curves.forEach((curve, i) => { rows[i].textContent = curve.values[position].toFixed(2); });
    chart.draw();
  }
  slider.addEventListener("input", () => go(Number(slider.value)));
  image.addEventListener("load", () => go(drawing.at));
  image.src = `data:image/webp;base64,${sheet.image}`;
  go(drawing.at);
}

// ---------------------------------------------------------------------------------------------------------------------

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

// A plot is made when it comes into view: the first paint does not wait for it.
function whenSeen(place, make) {
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    make();
  }, { rootMargin: "300px" });
  watch.observe(place);
}

function printed(figure) {
  const picture = figure.querySelector("img");
  picture.classList.add("folded");
  const button = element("button", { type: "button", className: "printed", textContent: "show as printed" });
  button.addEventListener("click", () => {
    button.textContent = picture.classList.toggle("folded") ? "show as printed" : "hide as printed";
  });
  picture.before(button);
}

Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
Chart.defaults.color = INK;
document.querySelectorAll("table.sorts").forEach(sortable);
document.querySelectorAll("figure").forEach((figure) => {
  const drawings = figure.querySelectorAll("script[type='application/json']");
  drawings.forEach((script) => {
    const drawing = JSON.parse(script.textContent), place = element("div", { className: `interactive ${drawing.kind}` });
    script.replaceWith(place);
    whenSeen(place, () => (drawing.kind === "speed" ? speedPlot : scorePlot)(place, drawing));
  });
  if (drawings.length) printed(figure);
});
addEventListener("hashchange", openTarget);
// The same link once more, after its record was closed, is no change of the hash.
addEventListener("click", (event) => { if (event.target.closest("a[href^='#']")) setTimeout(openTarget); });
openTarget();
