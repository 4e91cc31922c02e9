// Draws the large chart again with a cursor: the same data as the SVG it stands for.
var armspanChart = (() => {
  "use strict";
  const plots = new WeakMap();
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // As `model::human` writes numbers: three digits, the unit that people use.
  const digits = (value) => {
    const size = Math.abs(value);
    if (!Number.isFinite(value)) return "–";
    if (size === 0) return "0";
    if (size >= 99.95) return Math.round(value).toLocaleString("en-US");
    const decimals = Math.min(9, Math.max(0, 2 - Math.floor(Math.log10(size))));
    return value.toFixed(decimals);
  };
  const level = (value, unit, points) => {
    if (value < 0) return `−${level(-value, unit, points)}`;
    if (unit === "s") return Math.abs(value) < 1 ? `${digits(value * 1e3)} ms` : `${digits(value)} s`;
    if (unit === "1") return `${digits(value * 100)} ${points ? "pp" : "%"}`;
    if (unit === "USD") return value === 0 ? "$0" : `$${Math.abs(value) >= 1 ? value.toFixed(2) : digits(value)}`;
    return digits(value);
  };
  const shown = (data, value) => {
    if (value === null || value === undefined) return "–";
    if (!data.signed) return level(value, data.unit, false);
    const sign = value > 0 ? "+" : value < 0 ? "−" : "";
    return sign + level(Math.abs(value), data.unit, true);
  };

  const columns = (data) => [data.times, ...data.arms.flatMap((arm) => [arm.estimate, arm.lower, arm.upper])];

  // Zero, the margin, and what changed.
  const lines = (data) => (plot) => {
    const { ctx, bbox } = plot;
    const line = (x0, y0, x1, y1, colour, dash) => {
      ctx.strokeStyle = colour;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(x0, y0);
      ctx.lineTo(x1, y1);
      ctx.stroke();
    };
    const across = (value, colour, dash) => {
      if (value < data.low || value > data.high) return;
      const y = plot.valToPos(value, "y", true);
      line(bbox.left, y, bbox.left + bbox.width, y, colour, dash);
    };
    ctx.save();
    ctx.lineWidth = 1;
    across(0, style("--dim"), []);
    if (data.margin !== null) across(data.margin, style("--bad"), [5, 4]);
    for (const [at] of data.marks) {
      if (at <= data.times[0] || at >= data.times[data.times.length - 1]) continue;
      const x = plot.valToPos(at, "x", true);
      line(x, bbox.top, x, bbox.top + bbox.height, style("--warn"), [2, 4]);
    }
    ctx.restore();
  };

  const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [1, 2]];

  // 14:00, and the day at midnight.
  const clock = (at) => {
    const text = new Date(at * 1e3).toISOString();
    return text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
  };

  const options = (data, width) => {
    const colour = (at) => style(`--arm${at % 6}`);
    const utc = (_, at) => at === null ? "–" : new Date(at * 1e3).toISOString().slice(0, 16).replace("T", " ");
    const series = [{ label: "UTC", value: utc }];
    const bands = [];
    data.arms.forEach((arm, at) => {
      const value = (plot, found, _, index) => {
        const [from, to] = [3 * at + 2, 3 * at + 3].map((column) => plot.data[column][index ?? -1]);
        return shown(data, found) + (data.signed && from !== undefined ? ` (${shown(data, from)} to ${shown(data, to)})` : "");
      };
      const bound = { stroke: "transparent", points: { show: false }, value };
      series.push(
        { label: arm.arm, stroke: colour(at), width: 2, dash: DASHES[at % 6], points: { show: false }, value },
        { ...bound, label: `${arm.arm} from` },
        { ...bound, label: `${arm.arm} to` },
      );
      bands.push({ series: [3 * at + 3, 3 * at + 2], fill: colour(at) + "33" });
    });
    const line = style("--line");
    const axis = { stroke: style("--dim"), grid: { stroke: line, width: 1 }, ticks: { stroke: line }, font: "12px system-ui, sans-serif" };
    return {
      width, height: Math.max(200, Math.min(300, width * 0.5)),
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
      scales: { y: { range: () => [data.low, data.high] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 76, values: (_, ticks) => ticks.map((tick) => shown(data, tick)) }],
      series, bands, legend: { live: true }, cursor: { drag: { x: true, y: false } }, hooks: { draw: [lines(data)] },
    };
  };

  // Draws what is new; a chart that shows the same arms keeps its cursor and its zoom.
  const draw = (figure, anew) => {
    const source = document.getElementById(figure.dataset.chart);
    const place = figure.querySelector(".plot");
    if (!source || !place || typeof uPlot === "undefined") return;
    const text = source.textContent;
    const known = plots.get(place);
    figure.classList.add("scripted-on");
    if (known && known.text === text && !anew) return;
    const data = JSON.parse(text);
    const key = JSON.stringify([data.unit, data.signed, data.margin, data.arms.map((arm) => arm.arm), data.marks]);
    if (known && known.key === key && !anew) {
      Object.assign(known.data, { low: data.low, high: data.high, times: data.times });
      known.plot.setData(columns(data));
      known.text = text;
      return;
    }
    if (known) known.plot.destroy();
    const plot = new uPlot(options(data, place.clientWidth), columns(data), place);
    plots.set(place, { plot, key, data, text });
  };

  const all = (anew) => document.querySelectorAll("[data-chart]").forEach((figure) => draw(figure, anew));
  const resize = () => document.querySelectorAll("[data-chart] .plot").forEach((place) => {
    const known = plots.get(place);
    if (known) known.plot.setSize({ width: place.clientWidth, height: known.plot.height });
  });
  return { all, resize };
})();
