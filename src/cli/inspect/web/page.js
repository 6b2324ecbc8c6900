"use strict";
// Shows live.json, asked for once a second. Text of the stream becomes text of the page, never markup.

const PERIOD_MS = 1000;
const UNKNOWN = "–";
const $ = (id) => document.getElementById(id);

/** An element of this class with these children; texts stay texts. */
function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Figures for people: `known` says how one is written, and nobody's is a dash. */
const known = (value, write) => (value === null || value === undefined ? UNKNOWN : write(value));

function compact(number) {
  const scales = [[1e9, "G"], [1e6, "M"], [1e4, "k", 1e3]];
  for (const [from, suffix, by = from] of scales) {
    if (number >= from) return (number / by).toPrecision(3).replace(/\.0+$/, "") + suffix;
  }
  return number < 10 && number % 1 ? number.toFixed(1) : Math.round(number).toString();
}

function time(ns) {
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`.replace(/\.0+ /, " ");
  if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)} ms`;
  const seconds = Math.floor(ns / 1e9);
  if (seconds < 60) return `${(ns / 1e9).toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

const whole = (number) => number.toLocaleString("en-US");
const clock = (ns) => new Date(ns / 1e6).toISOString().slice(11, 23);

/** A table of these columns: title, value, whether it is text, and perhaps a class. */
function table(id, columns, rows) {
  const head = columns.map(({ title, text }) => element("th", text ? "text" : "", title));
  const cells = (row) => columns.map(({ value, text, mark }) =>
    element("td", [text, mark && mark(row)].filter(Boolean).join(" "), value(row)));
  $(id).replaceChildren(element("tr", "", ...head), ...rows.map((row) => element("tr", "", ...cells(row))));
}

function tiles(cluster) {
  const latency = cluster.commit_latency ?? {};
  const shown = [
    ["Committed a second", known(cluster.committed_per_second, compact)],
    ["Stamp to commit, p50", known(latency.p50_ns, time)],
    ["p99", known(latency.p99_ns, time)],
    ["Longest", known(latency.longest_ns, time)],
    ["Committed up to", known(cluster.commit_next, (next) => whole(Math.max(0, next - 1)))],
    ["Leader", cluster.leader ?? UNKNOWN],
    ["Epoch", known(cluster.round, whole)],
    ["It leads for", known(cluster.epoch_age_ns, time)],
    ["Members available", `${known(cluster.members_available, whole)} of ${known(cluster.members_listed, whole)}`],
    ["May crash", known(cluster.may_crash, whole)],
    ["Publishers", known(cluster.publishers, whole)],
    ["Keys end in", known(cluster.keys_days_left, (days) => `${whole(days)} d`)],
  ];
  $("tiles").replaceChildren(...shown.map(([title, value]) =>
    element("div", "tile", element("span", "", title), element("b", "", value))));
}

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

/** Lines over the history; `series` has a class and a value of each point. */
function chart(id, history, series, write) {
  const [width, height, left, bottom] = [600, 144, 52, 16];
  const svg = $(id);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const first = history[0]?.at_ns ?? 0;
  const span = Math.max(1, (history.at(-1)?.at_ns ?? 0) - first);
  const values = history.flatMap((point) => series.map(({ value }) => value(point) ?? 0));
  const most = Math.max(1, ...values) * 1.1;
  const x = (point) => left + (point.at_ns - first) / span * (width - left - 4);
  const y = (value) => 4 + (1 - value / most) * (height - bottom - 4);
  const drawn = [];
  for (const share of [0, 0.5, 1]) {
    const at = y(most / 1.1 * share);
    drawn.push(shape("line", { class: "grid", x1: left, x2: width, y1: at, y2: at }));
    drawn.push(shape("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, write(most / 1.1 * share)));
  }
  history.forEach((point, index) => {
    const before = history[index - 1];
    if (before?.round && point.round && point.round !== before.round) {
      const line = shape("line", { class: "takeover", x1: x(point), x2: x(point), y1: 4, y2: height - bottom });
      line.append(shape("title", {}, `${clock(point.at_ns)}: ${point.leader ?? "nobody"} leads epoch ${point.round}`));
      drawn.push(line);
    }
  });
  for (const { className, value } of series) {
    // A figure that nobody knows breaks the line.
    let path = "";
    let pen = "M";
    for (const point of history) {
      const figure = value(point);
      if (figure === null || figure === undefined) { pen = "M"; continue; }
      path += `${pen}${x(point).toFixed(1)} ${y(figure).toFixed(1)}`;
      pen = "L";
    }
    drawn.push(shape("path", { class: className, d: path }));
  }
  svg.replaceChildren(...drawn);
}

function charts(history) {
  chart("rate", history, [{ className: "one", value: (point) => point.committed_per_second }], compact);
  chart("latency", history, [
    { className: "one", value: (point) => point.p50_ns },
    { className: "two", value: (point) => point.p99_ns },
  ], time);
  const last = history.at(-1) ?? {};
  $("rate-now").textContent = known(last.committed_per_second, compact);
  $("latency-now").textContent = `p50 ${known(last.p50_ns, time)}, p99 ${known(last.p99_ns, time)}`;
  $("span").textContent = time(Math.max(0, (last.at_ns ?? 0) - (history[0]?.at_ns ?? 0)));
}

const presence = { runs: "", late: "warn", silent: "bad", hangs: "bad", ended: "bad" };
const state = (row) => (row.presence === "runs" ? row.role ?? "runs"
  : `${row.presence}${row.absent_ns ? ` for ${time(row.absent_ns)}` : ""}`);

function nodes(rows) {
  table("nodes", [
    { title: "Node", text: "text", value: (row) => row.name },
    { title: "State", text: "text", value: state,
      mark: (row) => presence[row.presence] || (row.conditions.length ? "warn" : "") },
    { title: "Epoch", value: (row) => known(row.round, whole) },
    { title: "End of log", value: (row) => known(row.accept_next, (next) => whole(Math.max(0, next - 1))) },
    { title: "Lag", value: (row) => known(row.lag, whole) },
    { title: "In/s", value: (row) => known(row.in_per_second, compact) },
    { title: "Out/s", value: (row) => known(row.out_per_second, compact) },
    { title: "Drops", value: (row) => known(row.dropped, whole) },
    { title: "Turns with work", value: (row) => known(row.busy, (share) => `${Math.round(share * 100)} %`) },
    { title: "Longest stall", value: (row) => known(row.stall_longest_ns, time) },
    { title: "Disk free", value: (row) => known(row.disk_free_bytes, (bytes) => `${compact(bytes)}B`) },
    { title: "Conditions", text: "text wrap",
      value: (row) => row.conditions.map((one) => `${one.code}: ${one.what}`).join("; ") },
  ], rows);
}

function gateways(rows) {
  $("gateways-section").hidden = rows.length === 0;
  table("gateways", [
    { title: "Process", text: "text", value: (row) => row.name },
    { title: "State", text: "text", mark: (row) => presence[row.presence] || (row.is_ready ? "" : "warn"),
      value: (row) => (row.presence === "runs" ? (row.is_ready ? "ready" : "not ready") : state(row)) },
    { title: "Clients", value: (row) => known(row.clients, whole) },
    { title: "In/s", value: (row) => known(row.in_per_second, compact) },
    { title: "Out/s", value: (row) => known(row.out_per_second, compact) },
    { title: "Refused", value: (row) => known(row.refused, whole) },
    { title: "Cut", value: (row) => known(row.cut, whole) },
  ], rows);
}

function handles(rows) {
  $("handles-section").hidden = rows.length === 0;
  table("handles", [
    { title: "Process", text: "text", value: (row) => row.process },
    { title: "Handle", text: "text", value: (row) => row.kind },
    { title: "State", text: "text", mark: (row) => presence[row.presence] || (row.is_connected ? "" : "warn"),
      value: (row) => (row.presence === "runs" ? (row.is_connected ? "connected" : "no leader") : state(row)) },
    { title: "Lag", value: (row) => known(row.lag, whole) },
    { title: "Entries/s", value: (row) => known(row.entries_per_second, compact) },
    { title: "Gaps", value: (row) => known(row.gaps, whole) },
    { title: "p50", value: (row) => known(row.latency.p50_ns, time) },
    { title: "p99", value: (row) => known(row.latency.p99_ns, time) },
    { title: "Longest", value: (row) => known(row.latency.longest_ns, time) },
  ], rows);
}

function events(rows) {
  $("events").replaceChildren(...rows.toReversed().map((row) =>
    element("li", "", element("time", "", clock(row.at_ns)), `${row.node}: ${row.text} (${row.code})`)));
}

// A channel has a number of its own, from 2^31 on.
function addressee(destination) {
  if (destination === 0) return "all";
  return destination < 2 ** 31 ? destination.toString() : `channel:${destination - 2 ** 31}`;
}

function messages(shown) {
  $("messages-section").hidden = !shown;
  if (!shown) return;
  $("count").textContent = shown.ended ? `the subscription ended: ${shown.ended}`
    : `${whole(shown.count)} read since this page began`;
  table("messages", [
    { title: "Stamped", text: "text", value: (row) => clock(row.timestamp_ns) },
    { title: "Seq", value: (row) => whole(row.seq) },
    { title: "Publisher", value: (row) => `${row.publisher_name ?? row.publisher}:${row.publisher_seq}` },
    { title: "To", value: (row) => row.destination_name ?? addressee(row.destination) },
    { title: "Bytes", value: (row) => whole(row.len) },
    { title: "Payload", text: "text payload", value: (row) => row.fields ?? row.text },
  ], shown.newest.toReversed());
}

/** All streams of a set; the rest of the page is about the first of them. */
function set(shown) {
  $("set-section").hidden = !shown;
  if (!shown) return;
  const { set: order, streams } = shown;
  const rate = known(order.cuts_per_second, compact);
  const coordinators = order.coordinators.map(({ name, counted }) => `${name} ${whole(counted)}`).join(", ");
  $("set-summary").textContent = `${order.summary}; cuts ${rate} a second; ${coordinators}`;
  table("set", [
    { title: "Stream", text: "text", value: (row) => row.stream },
    { title: "Health", text: "text", value: (row) => row.health.replaceAll("_", " ") },
    { title: "Leader", text: "text", value: (row) => row.leader ?? UNKNOWN },
    { title: "Epoch", value: (row) => known(row.round, whole) },
    { title: "Committed up to", value: (row) => known(row.committed, whole) },
    { title: "Entries a second", value: (row) => known(row.per_second, compact) },
    { title: "Merged up to", value: (row) => known(row.merged, whole) },
    { title: "Behind", value: (row) => known(row.behind, whole) },
  ], streams);
}

function show(live) {
  const { snapshot } = live;
  const { cluster } = snapshot;
  const health = { healthy: "good", degraded: "warn" }[cluster.health] ?? (cluster.health ? "bad" : "");
  $("health").textContent = cluster.health?.replaceAll("_", " ") ?? "not asked";
  $("health").className = `badge ${health}`;
  // The reasons behind it have lines of their own.
  $("summary").textContent = cluster.summary.replace(/^[a-z ]+: /, "").split(";")[0];
  $("clock").textContent = `${clock(snapshot.at_ns)} UTC`;
  document.title = `lockstep: ${cluster.health ?? cluster.leader ?? "…"}`;
  $("reasons").replaceChildren(...cluster.reasons.map((reason) => element("li", "", reason)));
  tiles(cluster);
  charts(live.history);
  set(live.set);
  nodes(snapshot.nodes);
  gateways(snapshot.gateways);
  handles(snapshot.handles);
  events(snapshot.events);
  messages(live.messages);
}

let answeredAt = null;

function stale(why) {
  const since = answeredAt ? ` since ${answeredAt.toISOString().slice(11, 19)} UTC` : "";
  $("stale").textContent = `No figures${since}: ${why}`;
  $("stale").hidden = false;
  document.querySelector("main").className = "stale";
}

async function look() {
  try {
    const answer = await fetch("live.json", { cache: "no-store" }).catch(() => {
      throw new Error("`lockstep web` does not answer");
    });
    if (!answer.ok) throw new Error(`the page's server answers ${answer.status}`);
    show(await answer.json());
    answeredAt = new Date();
    $("stale").hidden = true;
    document.querySelector("main").className = "";
  } catch (error) {
    stale(error.message);
  }
  setTimeout(look, PERIOD_MS);
}

look();
