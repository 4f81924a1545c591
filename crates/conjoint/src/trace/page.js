"use strict";

// `Trace::json` documents the format of the trace. Frame 0 of a sample is the state before any call.

const trace = JSON.parse(document.getElementById("trace").textContent);
const $ = (id) => document.getElementById(id);
/** The lower bound of each colour, except the first. */
const BOUNDS = [0.3, 0.5, 0.7, 0.9];
/** Visible characters for white space. */
const VISIBLE = { " ": "·", "\n": "⏎", "\r": "␍", "\t": "⇥" };

let sample; // the sequence on the page
let cells = []; // one button per position
let frame = 0;
let timer = null;
let pinned = null; // the position whose history stays open
let focused = null; // the position whose history is visible

/** Computes the running counts of each frame, and the history of each position. */
function prepare({ start, frames }) {
  const histories = start.map(() => []);
  const none = { forwards: 0, passes: 0, revealed: 0, revoked: 0 };
  let last = { step: -1, round: 0, calls: 0, events: [], ...none };
  const all = [last];
  for (const { step, round, forwards: calls, events } of frames) {
    const now = { ...last, step, round, calls, events: events.map(readEvent) };
    now.forwards += calls;
    now.passes += round > 0 ? 1 : 0;
    for (const event of now.events) {
      const revokes = event.kind === "remask";
      now.revealed += revokes ? -1 : 1;
      now.revoked += revokes ? 1 : 0;
      histories[event.position].push({ ...event, frame: all.length });
    }
    all.push((last = now));
  }
  const masked = start.filter((token) => token === null).length;
  return { start, histories, frames: all, masked, steps: last.step + 1 };
}

function readEvent(event) {
  const [[kind, fields]] = Object.entries(event);
  const [position, token, probability] = [fields].flat();
  return { kind, position, token, probability };
}

/** The state of a position in a frame. */
function stateOf(position, frame) {
  const given = sample.start[position];
  if (given !== null) return { state: "given", token: given };
  const past = sample.histories[position].filter((event) => event.frame <= frame);
  const last = past.at(-1);
  const revocation = past.findLast((event) => event.kind === "remask");
  const revoked = revocation && (revocation.frame === frame ? "now" : "before");
  if (!last || last.kind === "remask") {
    const gone = past.findLast((event) => event.kind !== "remask")?.token;
    return { state: "masked", revoked, gone: revoked === "now" ? gone : undefined };
  }
  const { kind, token, probability } = last;
  const state = kind === "fill" ? "filled" : "revealed";
  return { state, token, probability, isNew: last.frame === frame, revoked };
}

const piece = (token) => trace.pieces[token] ?? String(token);
const visible = (text) => text.replace(/[ \n\r\t]/g, (space) => VISIBLE[space]);
/** A probability with three digits, without line breaks. */
const chance = (p) => {
  if (p == null) return "p unknown";
  return p < 1 && p >= 0.9995
    ? "p\u00a0>\u00a00.999"
    : `p\u00a0=\u00a0${p < 0.001 ? p.toExponential(1) : p.toFixed(3)}`;
};
const sureness = (p) => BOUNDS.filter((bound) => p >= bound).length;

/** An element with children; no text is ever read as HTML. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (value != null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A token's text, its white space quiet. */
const glyphs = (token) =>
  piece(token)
    .split(/([ \n\r\t]+)/)
    .filter(Boolean)
    .map((run) => (/\s/.test(run) ? element("i", {}, visible(run)) : run));

function called(now) {
  if (now.round > 0) return `sampler pass ${now.round}`;
  return now.calls > 1 ? `${now.calls} forwards` : now.calls === 1 ? "forward" : "no forward";
}

function choose(index) {
  stop();
  sample = prepare(trace.sequences[index]);
  pinned = focused = null;
  $("sample").value = index;
  $("slider").max = sample.frames.length - 1;
  const ever = (kind) => sample.histories.flat().some((event) => event.kind === kind);
  for (const mark of document.querySelectorAll("#revocations, .revoked"))
    mark.hidden = !ever("remask");
  document.querySelector(".filled").hidden = !ever("fill");
  drawText();
  drawOverview();
  show(0);
}

function drawText() {
  $("text").replaceChildren();
  cells = sample.start.map((given, position) => {
    const drawn = sample.histories[position].map((event) => event.token);
    const pieces = [given, ...drawn].filter((token) => token != null).map(piece);
    const widest = pieces.map(visible).reduce((a, b) => (b.length > a.length ? b : a), "");
    const cell = element("button", {
      type: "button",
      class: "token",
      "data-position": position,
      "data-widest": widest,
    });
    const lines = Math.min(2, (pieces.at(-1) ?? "").split("\n").length - 1);
    $("text").append(cell, ...Array.from({ length: lines }, () => element("br", {})));
    return cell;
  });
}

function drawCell(cell, position) {
  const { state, token, probability, isNew, revoked, gone } = stateOf(position, frame);
  const key = [state, token, probability, isNew, revoked].join();
  if (cell.dataset.key === key) return;
  const sure = state === "revealed" ? sureness(probability) : undefined;
  const data = { key, state, sure, revoked, new: isNew ? "" : undefined };
  for (const [name, value] of Object.entries(data)) {
    if (value === undefined) delete cell.dataset[name];
    else cell.dataset[name] = value;
  }
  const struck = gone === undefined ? [] : [element("s", {}, ...glyphs(gone))];
  cell.replaceChildren(...(token === undefined ? struck : glyphs(token)));
  const words = [token == null ? "masked" : `${JSON.stringify(piece(token))}, ${state}`];
  if (state === "revealed") words.push(chance(probability));
  if (isNew) words.push("new");
  if (revoked) words.push(`remasked ${revoked}`);
  cell.setAttribute("aria-label", `Position ${position + 1}: ${words.join(", ")}`);
}

/** Bars above the slider: the mean probability of each call's tokens, with a mark below calls that remasked some. */
function drawOverview() {
  const last = Math.max(1, sample.frames.length - 1);
  const width = Math.min(0.8, last / 25);
  $("overview").setAttribute("viewBox", `0 0 ${last} 24`);
  const bar = (frame, y, height, colour) => {
    const made = document.createElementNS($("overview").namespaceURI, "rect");
    const attributes = { x: frame - width / 2, y, width, height, style: `fill: var(--${colour})` };
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  };
  $("overview").replaceChildren(
    ...sample.frames.flatMap(({ events }, frame) => {
      const drawn = events.filter((event) => event.kind === "reveal");
      const mean = drawn.reduce((sum, event) => sum + event.probability, 0) / drawn.length;
      const height = 1 + 17 * mean;
      const bars = drawn.length ? [bar(frame, 19 - height, height, `sure${sureness(mean)}`)] : [];
      return events.some((event) => event.kind === "remask")
        ? [...bars, bar(frame, 20, 4, "revoked")]
        : bars;
    }),
  );
}

/** Shows the frame `to`, or the nearest one. */
function show(to) {
  frame = Math.max(0, Math.min(sample.frames.length - 1, to));
  const now = sample.frames[frame];
  cells.forEach(drawCell);
  const of = (n, all) => [`${n} `, element("small", {}, `of ${all}`)];
  $("step").replaceChildren(...of(now.step + 1, sample.steps));
  $("forwards").textContent = now.forwards;
  $("passes").textContent = now.passes;
  $("revealed").replaceChildren(...of(now.revealed, sample.masked));
  $("revoked").textContent = now.revoked;
  $("slider").value = frame;
  $("moment").replaceChildren(...moment(now));
  $("slider").setAttribute("aria-valuetext", $("moment").textContent);
  $("plain").textContent = sample.start
    .map((_, position) => stateOf(position, frame))
    .map(({ token }) => (token == null ? "▁" : piece(token)))
    .join("");
  cells
    .find(({ dataset }) => "new" in dataset || dataset.revoked === "now")
    ?.scrollIntoView({ block: "nearest" });
  openHistory(focused);
}

/** The events of a frame, in words. */
function moment(now) {
  if (now.step < 0) return ["Before the first step"];
  const count = (kind) => now.events.filter((event) => event.kind === kind).length;
  const [revealed, revoked, filled] = ["reveal", "remask", "fill"].map(count);
  const parts = [
    `Step ${now.step + 1}, ${called(now)}: `,
    revealed ? `${revealed} revealed` : "nothing revealed",
  ];
  if (revoked) parts.push(", ", element("b", {}, `${revoked} remasked`));
  if (filled) parts.push(`, ${filled} filled after the end`);
  return parts;
}

/** Shows the history of a position, or hides it for `null`. */
function openHistory(position) {
  focused = position;
  cells.forEach((cell, index) => cell.setAttribute("aria-pressed", index === pinned));
  $("token").hidden = position === null;
  if (position === null) return;
  const { token } = stateOf(position, frame);
  const id = token == null || trace.pieces[token] == null ? "" : `id ${token}`;
  const name = token == null ? ["masked"] : [element("code", {}, ...glyphs(token))];
  $("name").replaceChildren(`Position ${position + 1} `, ...name, " ", element("small", {}, id));
  const none = sample.start[position] !== null ? "Given, never changed" : "Never revealed";
  const entries = sample.histories[position].map(entry);
  $("history").replaceChildren(...(entries.length ? entries : [element("li", {}, none)]));
}

/** One event of a history: a button that leads to it. */
function entry({ kind, token, probability, frame: at }) {
  const { step, ...call } = sample.frames[at];
  const what = {
    reveal: () => ["revealed ", element("code", {}, ...glyphs(token)), ` ${chance(probability)}`],
    remask: () => [element("b", {}, "remasked")],
    fill: () => ["filled after the end"],
  }[kind]();
  const when = at > frame ? "later" : at === frame ? "now" : "";
  const text = [`Step ${step + 1}, ${called(call)}: `, ...what];
  const button = element("button", { type: "button", class: when }, ...text);
  button.addEventListener("click", () => go(at));
  return element("li", {}, button);
}

function pin(position) {
  pinned = position === null ? null : Math.max(0, Math.min(cells.length - 1, position));
  openHistory(pinned);
  cells[pinned]?.scrollIntoView({ block: "nearest" });
}

function stop() {
  clearInterval(timer);
  timer = null;
  $("play").classList.remove("playing");
  $("play").setAttribute("aria-label", "Play");
  $("moment").setAttribute("aria-live", "polite");
}

function togglePlay() {
  if (timer !== null) return stop();
  const last = sample.frames.length - 1;
  if (frame === last) show(0);
  $("play").classList.add("playing");
  $("play").setAttribute("aria-label", "Pause");
  $("moment").setAttribute("aria-live", "off"); // too fast for a screen reader
  const pace = Math.max(80, Math.min(700, 15000 / last));
  timer = setInterval(() => (frame < last ? show(frame + 1) : stop()), pace);
}

/** The frame at which the step after the current one ends, or the one before it ended. */
function stepAway(direction) {
  const ends = sample.frames
    .map((_, f) => f)
    .filter((f) => sample.frames[f].step !== sample.frames[f + 1]?.step);
  return (direction > 0 ? ends.find((f) => f > frame) : ends.findLast((f) => f < frame)) ?? frame;
}

function go(to) {
  stop();
  show(to);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("select")) return;
  const far = event.shiftKey;
  const actions = {
    ArrowRight: () => go(far ? stepAway(1) : frame + 1),
    ArrowLeft: () => go(far ? stepAway(-1) : frame - 1),
    Home: () => go(0),
    End: () => go(Infinity),
    Escape: () => pin(null),
    " ": togglePlay,
  };
  // On other buttons the space bar clicks.
  if (
    !actions[event.key] ||
    (event.key === " " && event.target.closest?.("button:not(.token, #play)"))
  )
    return;
  event.preventDefault();
  actions[event.key]();
});
// The space bar also clicks a button when it is released, which would undo the action.
document.addEventListener("keyup", (event) => {
  if (event.key === " " && event.target.closest?.(".token, #play")) event.preventDefault();
});

const buttons = {
  first: () => go(0),
  back: () => go(frame - 1),
  play: togglePlay,
  forth: () => go(frame + 1),
  last: () => go(Infinity),
  left: () => pin(focused - 1),
  right: () => pin(focused + 1),
  close: () => pin(null),
};
Object.entries(buttons).forEach(([id, action]) => $(id).addEventListener("click", action));
$("slider").addEventListener("input", () => go(Number($("slider").value)));
$("sample").addEventListener("change", () => choose(Number($("sample").value)));

const positionOf = (event) => {
  const cell = event.target.closest("[data-position]");
  return cell && Number(cell.dataset.position);
};
$("text").addEventListener("click", (event) => {
  const position = positionOf(event);
  if (position !== null) pin(position === pinned ? null : position);
});
// Wide windows have room for the history, so hovering opens it.
const wide = matchMedia("(min-width: 56rem)");
$("text").addEventListener(
  "pointerover",
  (event) => event.pointerType === "mouse" && wide.matches && openHistory(positionOf(event) ?? pinned),
);
$("text").addEventListener("pointerleave", () => openHistory(pinned));
$("text").addEventListener(
  "focusin",
  (event) => event.target.matches(":focus-visible") && openHistory(positionOf(event)),
);

/** Opens the sample and the frame of a link such as `#sample=2&frame=7`. */
function follow() {
  const place = new URLSearchParams(location.hash.slice(1));
  const index = Number(place.get("sample") ?? 1) - 1;
  choose(trace.sequences[index] ? index : 0);
  show(Number(place.get("frame") ?? 0) || 0);
}

$("caption").textContent = trace.caption;
document.body.classList.toggle("ids", Object.keys(trace.pieces).length === 0);
["0", ...BOUNDS].forEach((bound, index) => {
  const style = `background: var(--sure${index})`;
  $("scale").append(element("li", { style }, index ? `≥ ${bound}` : `< ${BOUNDS[0]}`));
});
trace.sequences.forEach((sequence, index) => {
  const drawn = prepare(sequence).histories.flatMap((events) => events.at(-1)?.token ?? []);
  const text = drawn.slice(0, 24).map(piece).join("").slice(0, 24);
  $("sample").append(element("option", { value: index }, `${index + 1} · ${text}`));
});
$("samples").hidden = trace.sequences.length < 2;
if (trace.sequences.length > 0) {
  addEventListener("hashchange", follow);
  follow();
}
