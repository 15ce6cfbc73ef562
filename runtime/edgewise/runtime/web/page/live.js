// Shows what the server says about its newest picture, or sends this browser's own camera to it.
// Flow control: the server sends one answer at a time and waits for "next"; a camera picture is sent when the last one is answered.
import { Chart, Timeline } from "./charts.js";
import { Camera } from "./camera.js";

const $ = (id) => document.getElementById(id);
const canvas = $("picture"), pen = canvas.getContext("2d");
const timeline = new Timeline($("timeline"), $("legend")), chart = new Chart($("chart"), $("scale"));
const STALE_MS = 3000, RETRY_MS = [500, 1000, 2000, 4000];
const camera = new Camera(canvas, answered, (text) => notice(text), () => status("lost", "camera lost"));
let socket = null, tries = 0, heard = 0, paused = false, mine = false, state = null, counted = 0;

function address(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/${path}`;
}

function connect() {
  socket = new WebSocket(address("live"));
  socket.binaryType = "blob";
  socket.onopen = () => { tries = 0; };
  socket.onmessage = (event) => (typeof event.data === "string" ? receive(JSON.parse(event.data)) : picture(event.data));
  socket.onclose = (event) => {
    socket = null;
    status("lost", "no connection");
    notice(event.code === 1013 ? "Too many viewers. Trying again." : "The connection to the device is lost. Trying again.");
    setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
  };
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function receive(message) {
  heard = performance.now();
  settings(message);
  if (!mine && !paused) {
    state = message;
    show(message);
  }
  if (!message.picture) send({ type: "next" });
}

async function picture(blob) {
  try {
    if (!mine && !paused) {
      const bitmap = await createImageBitmap(blob);
      if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      pen.drawImage(bitmap, 0, 0);
      bitmap.close();
      region(state?.region);
    }
  } finally {
    send({ type: "next" });
  }
}

function region(box) {
  if (!box) return;
  const [left, top, width, height] = box;
  pen.strokeStyle = "#ffd54a";
  pen.lineWidth = Math.max(2, canvas.width / 320);
  pen.strokeRect(left * canvas.width, top * canvas.height, width * canvas.width, height * canvas.height);
}

function answered(message) {
  if (!mine || paused) return;
  show(message);
}

function show(message) {
  status(message.status, message.status);
  notice(message.notice);
  if (message.label === null) return;
  $("label").textContent === message.label || ($("label").textContent = message.label);
  $("label").parentElement.classList.toggle("unknown", !message.known);
  $("probability").textContent = percent(message.probability);
  bars(message.top);
  $("inference").textContent = `${message.inference_ms.toFixed(1)} ms`;
  $("age").textContent = `${message.age_ms.toFixed(0)} ms`;
  $("fps").textContent = message.fps.toFixed(1);
  $("frames").textContent = `${message.classified} classified, ${message.dropped} dropped`;
  // While no new picture comes the last answer is told again: it is not another one.
  if (message.status === "live" && message.classified !== counted) {
    counted = message.classified;
    timeline.add(message.label);
    chart.add(message.inference_ms, message.age_ms);
  }
}

function bars(top) {
  const list = $("top"), count = Number($("top-k").value);
  const rows = top.slice(0, count);
  while (list.children.length > rows.length) list.lastChild.remove();
  while (list.children.length < rows.length) {
    const item = document.createElement("li");
    for (const name of ["bar", "name", "share"]) item.append(Object.assign(document.createElement("span"), { className: name }));
    list.append(item);
  }
  rows.forEach(([label, probability], index) => {
    const [bar, name, share] = list.children[index].children;
    bar.style.width = `${100 * probability}%`;
    name.textContent = label;
    share.textContent = percent(probability);
  });
}

function percent(share) {
  return `${(100 * share).toFixed(share > 0.9995 ? 0 : 1)}%`;
}

function status(kind, text) {
  const shown = paused ? "paused" : kind;
  if ($("status").dataset.kind !== shown) $("status").dataset.kind = shown;
  const words = paused ? "paused" : text;
  if ($("status").textContent !== words) $("status").textContent = words;
  $("picture").parentElement.classList.toggle("stale", kind === "lost" || kind === "old picture");
}

function notice(text) {
  $("notice").hidden = !text;
  $("notice").textContent = text ?? "";
}

let refused = 0;

// Settings come from the server, since they are the same for everyone; what the user is changing is left alone.
function settings(message) {
  // What was refused is not shown as chosen any longer.
  if (message.refused !== refused) for (const id of ["model", "smoothing"]) $(id).dataset.sent = message[id];
  refused = message.refused;
  options($("model"), message.models, message.model);
  options($("smoothing"), message.smoothings, message.smoothing);
  if (document.activeElement !== $("threshold")) {
    $("threshold").value = message.threshold ?? 0;
    threshold();
  }
}

function options(select, names, chosen) {
  if (select.dataset.names !== JSON.stringify(names)) {
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    select.dataset.names = JSON.stringify(names);
  }
  if (document.activeElement !== select || select.dataset.sent === chosen) select.value = chosen;
}

function threshold() {
  const value = Number($("threshold").value);
  $("threshold-shown").textContent = value ? percent(value) : "never";
}

async function own(wanted) {
  if (wanted && camera.wanted) return;
  if (wanted && !(await camera.start(address("camera")))) return;
  if (!wanted) camera.stop();
  mine = wanted;
  $("board").setAttribute("aria-pressed", String(!mine));
  $("mine").setAttribute("aria-pressed", String(mine));
  $("turn").hidden = !mine;
  timeline.clear();
  chart.clear();
  notice("");
}

function pause(wanted) {
  paused = wanted;
  camera.pause(paused);
  $("pause").setAttribute("aria-pressed", String(paused));
  status(state?.status ?? "waiting", state?.status ?? "connecting");
}

function select(id, message) {
  $(id).addEventListener("change", () => {
    $(id).dataset.sent = $(id).value;
    send(message($(id).value));
  });
}

select("model", (value) => ({ type: "model", name: value }));
select("smoothing", (value) => ({ type: "set", smoothing: value }));
$("threshold").addEventListener("input", threshold);
$("threshold").addEventListener("change", () => send({ type: "set", threshold: Number($("threshold").value) }));
$("board").addEventListener("click", () => own(false));
$("mine").addEventListener("click", () => own(true));
$("turn").addEventListener("click", () => camera.turn());
$("pause").addEventListener("click", () => pause(!paused));
$("top-k").addEventListener("change", () => state && !mine && state.label !== null && bars(state.top));

const KEYS = {
  p: () => pause(!paused),
  c: () => own(!mine),
  m: () => { const model = $("model"); model.selectedIndex = (model.selectedIndex + 1) % model.length; model.dispatchEvent(new Event("change")); },
  s: () => { $("settings").open = !$("settings").open; if ($("settings").open) $("smoothing").focus(); },
};
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLSelectElement || event.target instanceof HTMLInputElement;
  if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key]) KEYS[event.key]();
});

setInterval(() => {
  timeline.draw();
  if (!mine && !paused && socket && heard && state?.status !== "ended" && performance.now() - heard > STALE_MS) {
    status("lost", "no answer");
    notice("The device has not answered for some seconds.");
  }
}, 1000);
connect();
