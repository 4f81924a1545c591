"use strict";

// Each pane runs one request of /v1/completions with an event for each step. docs/serving.md describes the events.

const $ = (id) => document.getElementById(id);
/** The lower bound of each colour, except the first. */
const BOUNDS = [0.3, 0.5, 0.7, 0.9];
/** Visible characters for white space. */
const VISIBLE = { " ": "·", "\n": "⏎", "\r": "␍", "\t": "⇥" };
/** Strategies that take a number of tokens a forward have `k`. Those of the sampler layer are shown if the model has one. */
const STRATEGIES = [
  { label: "exact, one token a forward", unmasker: "exact" },
  { label: "marginal, independent draws", unmasker: "marginal", k: true },
  { label: "confidence", unmasker: "confidence", k: true },
  { label: "joint, sampler layer", unmasker: "joint", k: true, layer: true },
  { label: "joint, window of 3", unmasker: "joint:window=3", k: true, layer: true },
  { label: "WINO, revises", unmasker: "wino" },
  { label: "preset quality", preset: "quality", layer: true },
  { label: "preset balanced", preset: "balanced", layer: true },
  { label: "preset fast", preset: "fast", layer: true },
  { label: "another …", own: true, k: true },
];

let model = "";
let hasLayer = false;
let stopping = new AbortController();
const panes = [];

const visible = (text) => text.replace(/[ \n\r\t]/g, (space) => VISIBLE[space]);
const sureness = (p) => BOUNDS.filter((bound) => p >= bound).length;
const pause = (time) => new Promise((done) => setTimeout(done, time));

function headers() {
  const all = { "Content-Type": "application/json" };
  if ($("key").value) all.Authorization = `Bearer ${$("key").value}`;
  return all;
}

/** The message of an answer that is an error. */
async function failure(answer) {
  if (answer.status === 401) $("lock").hidden = false;
  const body = await answer.json().catch(() => null);
  return body?.error?.message ?? `status ${answer.status}`;
}

async function findModel() {
  const answer = await fetch("v1/models", { headers: headers() }).catch(() => null);
  if (!answer) return notice("the server does not answer");
  if (!answer.ok) return notice(await failure(answer));
  const names = (await answer.json()).data.map((entry) => entry.id);
  model = names[0];
  hasLayer = names.length > 1;
  $("model").textContent = model;
  notice("");
  panes.forEach((pane) => pane.fill());
}

const notice = (text) => ($("notice").textContent = text);

class Pane {
  constructor(preferred) {
    this.root = $("pane").content.firstElementChild.cloneNode(true);
    this.preferred = preferred;
    $("panes").append(this.root);
    this.find(".strategy").addEventListener("change", () => this.update());
    this.find(".k").addEventListener("input", () => this.update());
    this.fill();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  fill() {
    const select = this.find(".strategy");
    const options = STRATEGIES.map((strategy, index) => ({ strategy, index }));
    const shown = options.filter(({ strategy }) => hasLayer || !strategy.layer);
    select.replaceChildren(...shown.map(({ strategy, index }) => new Option(strategy.label, index)));
    const named = (name) => shown.find(({ strategy }) => strategy.unmasker === name);
    const wanted = this.preferred.map(named).find(Boolean);
    if (wanted) select.value = wanted.index;
    this.update();
  }

  get strategy() {
    return STRATEGIES[this.find(".strategy").value];
  }

  update() {
    this.find(".own").hidden = !this.strategy.own;
    this.find(".amount").hidden = !this.strategy.k;
    this.find("output").textContent = this.find(".k").value;
  }

  /** The body of the request. */
  request(seed) {
    const { unmasker, preset, own, k } = this.strategy;
    const conjoint = { events: true };
    const name = own ? this.find(".unmasker").value.trim() : unmasker;
    if (name) conjoint.unmasker = name;
    if (k && !preset) conjoint.schedule = `per-step:${this.find(".k").value}`;
    const body = { model: preset ? `${model}:${preset}` : model, stream: true, seed, conjoint };
    body.temperature = Number($("temperature").value);
    const prompt = $("prompt").value;
    if (/\[MASK(\*\d+)?\]/.test(prompt)) conjoint.infill = prompt;
    else Object.assign(body, { prompt, max_tokens: Number($("tokens").value) });
    return body;
  }

  /** Runs the request, and shows each step. */
  async run(seed, signal) {
    this.begin([]);
    const body = JSON.stringify(this.request(seed));
    const answer = await fetch("v1/completions", { method: "POST", headers: headers(), body, signal });
    if (!answer.ok) {
      this.end(await failure(answer), true);
      return;
    }
    for await (const event of events(answer.body)) {
      if (signal.aborted) break;
      if (event.error) {
        this.end(event.error.message, true);
        return;
      }
      const [choice] = event.choices;
      if (event.conjoint?.canvas) this.begin(event.conjoint.canvas);
      if (event.conjoint?.changes) {
        this.show(event.conjoint);
        const time = Number($("pace").value);
        if (time) await pause(time);
      }
      if (choice?.finish_reason) {
        this.complete(event.conjoint.tokens);
        this.end(`finished: ${choice.finish_reason}, seed ${event.conjoint.seed}`, false);
      }
    }
    if (signal.aborted) this.end("stopped", false);
  }

  begin(canvas) {
    this.counts = { forwards: 0, passes: 0, revealed: 0, remasked: 0 };
    const cell = (piece) => {
      const made = document.createElement("span");
      made.className = "token";
      made.dataset.state = piece === null ? "masked" : "given";
      made.textContent = piece === null ? "" : visible(piece);
      return made;
    };
    this.cells = canvas.map(cell);
    this.find(".text").replaceChildren(...this.cells);
    this.find(".revisions").hidden = true;
    this.end("", false);
    this.count();
  }

  show({ forwards, sampler_passes, changes }) {
    this.counts.forwards += forwards;
    this.counts.passes += sampler_passes;
    for (const cell of this.cells) delete cell.dataset.new;
    for (const { position, token, text, probability } of changes) {
      const cell = this.cells[position];
      cell.dataset.new = "";
      if (token === null) {
        this.counts.remasked += 1;
        cell.dataset.state = "masked";
        cell.dataset.revised = "";
        delete cell.dataset.sure;
        cell.textContent = "";
        cell.removeAttribute("title");
        this.find(".revisions").hidden = false;
      } else {
        this.counts.revealed += 1;
        cell.dataset.state = "revealed";
        cell.dataset.sure = sureness(probability);
        cell.textContent = visible(text);
        cell.title = `p = ${probability < 0.001 ? probability.toExponential(1) : probability.toFixed(3)}`;
      }
    }
    this.count();
  }

  /** Shows the tokens after the end, which were filled and not drawn. */
  complete(tokens) {
    this.cells.forEach((cell, position) => {
      delete cell.dataset.new;
      if (cell.dataset.state !== "masked" || tokens[position] === null) return;
      cell.dataset.state = "filled";
      cell.textContent = visible(tokens[position]);
    });
  }

  count() {
    const { forwards, passes, revealed, remasked } = this.counts;
    const values = { forwards, passes, revealed, remasked };
    for (const [name, value] of Object.entries(values)) this.find(`.${name}`).textContent = value;
    const left = revealed - remasked;
    this.find(".rate").textContent = forwards ? (left / forwards).toFixed(2) : "–";
  }

  end(text, isError) {
    const end = this.find(".end");
    end.textContent = text;
    end.style.color = isError ? "var(--wrong)" : "";
  }
}

/** The JSON of the server-sent events of a body. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

async function unmask() {
  stopping.abort();
  stopping = new AbortController();
  const { signal } = stopping;
  if (!model) await findModel();
  if (!model) return;
  notice("");
  $("stop").disabled = false;
  const given = $("seed").value;
  const seed = given === "" ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  const shown = panes.filter((pane) => !pane.root.hidden);
  const runs = shown.map((pane) =>
    pane.run(seed, signal).catch((error) => {
      if (error.name === "AbortError") pane.end("stopped", false);
      else pane.end(String(error.message ?? error), true);
    }),
  );
  await Promise.all(runs);
  if (!signal.aborted) $("stop").disabled = true;
}

function stop() {
  stopping.abort();
  $("stop").disabled = true;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  unmask();
});
$("stop").addEventListener("click", stop);
$("key").addEventListener("change", findModel);
$("both").addEventListener("change", () => {
  panes[1].root.hidden = !$("both").checked;
  $("panes").classList.toggle("both", $("both").checked);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    unmask();
  } else if (event.key === "Escape") stop();
});

/** The settings in the address, as a link has them: prompt, tokens, temperature, seed, pace, k, left, right, and run to begin at once. */
function readAddress() {
  const given = new URLSearchParams(location.search);
  for (const id of ["prompt", "tokens", "temperature", "seed", "pace"]) if (given.has(id)) $(id).value = given.get(id);
  panes.push(new Pane([given.get("left") ?? "marginal"]), new Pane([given.get("right") ?? "joint", "exact"]));
  for (const pane of panes) if (given.has("k")) pane.find(".k").value = given.get("k");
  return given.has("run");
}

$("panes").classList.add("both");
const beginsAtOnce = readAddress();
findModel().then(() => beginsAtOnce && unmask());
