// The shared page: walking, looking, time. One camera, one loop that draws only when something has changed.
"use strict";

const $ = (id) => document.getElementById(id);
const header = JSON.parse($("header").textContent);
const up = header.up;
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const add = (a, b, s = 1) => [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]];
const normalized = (a) => add([0, 0, 0], a, 1 / (Math.hypot(...a) || 1));
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

const camera = { eye: [0, 0, 0], rotation: new Float32Array(9), tanHalf: [1, 1] };
const state = { speed: 1, time: 0, rate: 1, playing: false, dirty: true, keys: new Set(), drawn: 0 };
let renderer = null;

const column = (i) => Array.from(camera.rotation.slice(3 * i, 3 * i + 3));

function goHome() {
  const m = header.world_from_cam;
  for (let c = 0; c < 3; c++) for (let r = 0; r < 3; r++) camera.rotation[3 * c + r] = m[r][c];
  camera.eye = [m[0][3], m[1][3], m[2][3]];
  state.dirty = true;
}

function rotate(axis, angle) {  // Rodrigues' formula on right, down, forward
  const c = Math.cos(angle), s = Math.sin(angle);
  for (let i = 0; i < 3; i++) {
    const v = column(i);
    const turned = add(add(add([0, 0, 0], v, c), cross(axis, v), s), axis, dot(axis, v) * (1 - c));
    camera.rotation.set(turned, 3 * i);
  }
}

function look(right, downward) {
  rotate(up, -right);
  const pitch = Math.asin(Math.max(-1, Math.min(1, -dot(column(2), up)))) + downward;
  if (Math.abs(pitch) < 1.5) rotate(column(0), -downward);
  state.dirty = true;
}

function walk(right, upward, forward) {
  const ahead = normalized(add(column(2), up, -dot(column(2), up)));
  camera.eye = add(add(add(camera.eye, column(0), right), up, upward), ahead, forward);
  state.dirty = true;
}

function setTime(time) {
  state.time = time;
  $("scrub").value = time;
  renderer.setTime(time);
  state.dirty = true;
}

function setPlaying(playing) {
  state.playing = playing;
  $("play").textContent = playing ? "❚❚" : "▶";
}

function fit() {
  const canvas = $("view"), ratio = Math.min(devicePixelRatio || 1, 2);
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  const [x, y] = header.tan_half_fov, aspect = canvas.width / canvas.height;
  const half = Math.max(y, x / aspect);  // the whole photo is seen
  camera.tanHalf = [half * aspect, half];
  state.dirty = true;
}

function step(seconds) {
  const on = (...codes) => (codes.some((c) => state.keys.has(c)) ? 1 : 0);
  const pace = header.speed * state.speed * seconds * (on("ShiftLeft", "ShiftRight") ? 3 : 1);
  const right = on("KeyD") - on("KeyA"), upward = on("KeyE") - on("KeyQ"), forward = on("KeyW") - on("KeyS");
  if (right || upward || forward) walk(right * pace, upward * pace, forward * pace);
  const turn = on("ArrowRight") - on("ArrowLeft"), nod = on("ArrowDown") - on("ArrowUp");
  if (turn || nod) look(turn * seconds, -nod * seconds);
  if (state.playing) setTime((state.time + (seconds * state.rate) / Math.max(header.seconds, 0.1)) % 1);
}

function loop(before) {
  requestAnimationFrame((now) => {
    step(Math.min(0.1, (now - before) / 1000));
    if (state.dirty) {
      state.dirty = false;
      renderer.draw(camera);
      state.drawn++;
    }
    loop(now);
  });
}

function listen() {
  const canvas = $("view"), fingers = new Map();
  addEventListener("resize", fit);
  addEventListener("blur", () => state.keys.clear());
  addEventListener("keyup", (e) => state.keys.delete(e.code));
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    state.keys.add(e.code);
    if (e.key === "h" || e.key === "H") goHome();
    if (e.key === "?") $("keys").hidden = !$("keys").hidden;
    if (e.key === "+" || e.key === "=") state.speed *= 1.3;
    if (e.key === "-") state.speed /= 1.3;
    if (e.code === "Space" && header.times.length > 1) { setPlaying(!state.playing); e.preventDefault(); }
  });
  canvas.addEventListener("wheel", (e) => {
    walk(0, 0, -Math.sign(e.deltaY) * 0.08 * header.distance * state.speed);
    e.preventDefault();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (e) => { fingers.set(e.pointerId, e); canvas.setPointerCapture(e.pointerId); });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => fingers.delete(e.pointerId));
  canvas.addEventListener("pointermove", (e) => {
    const before = fingers.get(e.pointerId);
    if (!before) return;
    const dx = (e.clientX - before.clientX) / canvas.clientHeight, dy = (e.clientY - before.clientY) / canvas.clientHeight;
    const angle = 2 * camera.tanHalf[1];
    if (fingers.size === 1) look(-dx * angle, dy * angle);
    else {
      const other = [...fingers.values()].find((f) => f.pointerId !== e.pointerId);
      const gap = (f) => Math.hypot(f.clientX - other.clientX, f.clientY - other.clientY);
      const reach = header.distance * state.speed;
      walk(-dx * reach / 2, dy * reach / 2, (gap(e) - gap(before)) / canvas.clientHeight * 2 * reach);
    }
    fingers.set(e.pointerId, e);
  });
  $("home").onclick = goHome;
  $("help").onclick = () => { $("keys").hidden = !$("keys").hidden; };
  $("play").onclick = () => setPlaying(!state.playing);
  $("scrub").oninput = () => { setPlaying(false); setTime(Number($("scrub").value)); };
  $("rate").onchange = () => { state.rate = Number($("rate").value); };
}

async function start() {
  try {
    const payload = $("payload");
    const megabytes = (payload.textContent.length / 1e6).toFixed(1);
    const data = await unpack(payload.textContent, header);
    payload.remove();
    renderer = new SplatRenderer($("view"), data);
    $("about").textContent = `${header.title} · ${header.count.toLocaleString()} splats · ${megabytes} MB`;
    $("message").hidden = true;
    fit();
    goHome();
    listen();
    if (header.times.length > 1) { $("time").hidden = false; setPlaying(true); }
    window.cosmorama = { camera, state, walk, look, setTime, setPlaying, goHome, renderer };
    loop(performance.now());
  } catch (error) {
    $("message").textContent = `This scene cannot be shown: ${error.message}`;
  }
}
start();
