// Added to viser's page: walking speed, first-person look, feet on the ground, the map, help, files dropped in.
// What the server wants is in the data-config attribute of #cosmorama-config. The camera is reached through
// window.__viserMutable, which viser offers for its own tests; without it the page is plain viser, and still works.
"use strict";
(() => {
  let config = null, configText = "", keyed = new Set(), pace = 1, shift = false, adopted = null, drawnMap = null;
  const NEAR = 0.02;  // of the pivot in walking, display units
  const VISER_SPEED = 2, VISER_TURN = 50 * Math.PI / 180;  // a second, by viser's own keys
  const viser = () => window.__viserMutable;
  const element = (tag, style, parent = document.body) => {
    const e = document.createElement(tag);
    Object.assign(e.style, style);
    return parent.appendChild(e);
  };
  const typing = (e) => /^(INPUT|TEXTAREA|SELECT)$/.test(e.target?.tagName ?? "");

  // ---- the camera in the scene's axes ---------------------------------------------------------------------------

  function turn(q, v, inverse) {  // q wxyz
    const s = inverse ? -1 : 1, [w, x, y, z] = [q[0], s * q[1], s * q[2], s * q[3]];
    const t = [2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])];
    return [v[0] + w * t[0] + y * t[2] - z * t[1], v[1] + w * t[1] + z * t[0] - x * t[2], v[2] + w * t[2] + x * t[1] - y * t[0]];
  }
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const root = () => window.__viserSceneTree?.getState()[""]?.wxyz ?? [1, 0, 0, 0];

  function pose() {
    const c = viser().camera, q = root(), e = c.matrixWorld.elements;
    return { eye: turn(q, [e[12], e[13], e[14]], true), ahead: turn(q, [-e[8], -e[9], -e[10]], true) };
  }

  // ---- walking --------------------------------------------------------------------------------------------------

  const haste = () => (config?.speed ?? 1) * pace * (shift ? 3 : 1);
  const speed = () => haste() * (config?.stride ?? VISER_SPEED) / VISER_SPEED;
  const walking = () => config?.look === "walk";

  function adopt(controls) {  // the same controls, at our speed; in walking, arrows turn the head
    const scaled = { forward: (d, ...r) => controls.forward(d * speed(), ...r),
                     truck: (x, y, ...r) => controls.truck(x * speed(), y * speed(), ...r),
                     elevate: (d, ...r) => controls.elevate(d * speed(), ...r),
                     rotate: (a, p, ...r) => (walking() ? controls.rotate(-a, -p, ...r) : controls.rotate(a, p, ...r)) };
    return new Proxy(controls, {
      get: (target, name) => (name === "unscaled" ? target : scaled[name] ?? Reflect.get(target, name)),
      set: (target, name, value) => Reflect.set(target, name, value),
    });
  }

  // The controls' own position and target, which are right even before the next picture is drawn.
  function stands(controls) {
    const p = controls.getPosition().toArray(), t = controls.getTarget().toArray();
    const d = [t[0] - p[0], t[1] - p[1], t[2] - p[2]], length = Math.hypot(...d) || 1;
    return { p, ahead: d.map((x) => x / length), distance: length };
  }

  function place(controls, { p, ahead }, forward, pivot) {
    const q = p.map((x, i) => x + forward * ahead[i]);
    controls.setLookAt(...q, ...q.map((x, i) => x + pivot * ahead[i]), false);
  }

  function placePivot(controls) {  // first person: the point that the view turns about is right before the eye
    const now = stands(controls);
    if (now.distance < 0.1 !== walking()) place(controls, now, 0, walking() ? NEAR : config.pivot);
  }

  function setDrag(controls) {  // dragging takes hold of what is seen
    const sign = walking() ? -0.3 : 1;
    if (controls.azimuthRotateSpeed === sign) return;
    controls.azimuthRotateSpeed = controls.polarRotateSpeed = sign;
  }

  function groundBelow(eye) {
    const g = config.ground, n = g.cells;
    const across = [0, 1].map((a) => dot([eye[0] - g.origin[0], eye[1] - g.origin[1], eye[2] - g.origin[2]], g.axes[a]) / g.size * n - 0.5);
    const [x, y] = across.map((v) => Math.min(n - 1.001, Math.max(0, v))), i = Math.floor(x), j = Math.floor(y);
    const at = (r, c) => g.heights[r * n + c], u = x - i, v = y - j;
    return (1 - v) * ((1 - u) * at(j, i) + u * at(j, i + 1)) + v * ((1 - u) * at(j + 1, i) + u * at(j + 1, i + 1));
  }

  let eyeHeight = null, settling = 0;
  function stand(controls, seconds, stick) {
    if (!config.stand || !config.ground) { eyeHeight = null; return; }
    const { eye } = pose(), ground = groundBelow(eye), height = dot(eye, config.up) - ground;
    const held = (...codes) => codes.some((k) => keyed.has(k));
    const walks = stick.walks || held("KeyW", "KeyA", "KeyS", "KeyD"), climbs = stick.climbs || held("KeyQ", "KeyE");
    const settles = walks || settling > 0;  // who stops takes the last step to its end
    settling = walks ? 0.5 : settling - seconds;
    if (eyeHeight === null || climbs || !settles) { eyeHeight = height; return; }
    const rise = (eyeHeight - height) * (1 - Math.exp(-8 * seconds));
    if (Math.abs(rise) > 1e-5) controls.unscaled.elevate(rise, false);
  }

  // ---- gamepad: the left stick walks, the right one looks, triggers climb, shoulders change the pace ---------------

  let shoulders = 0;
  function gamepad(controls, seconds) {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((p) => p?.connected);
    if (!pad) return {};
    const axis = (i) => (Math.abs(pad.axes[i] ?? 0) > 0.15 ? pad.axes[i] : 0), button = (i) => pad.buttons[i]?.value ?? 0;
    const right = axis(0), back = axis(1), turn = axis(2), nod = axis(3), rise = button(7) - button(6);
    const step = VISER_SPEED * seconds, angle = VISER_TURN * seconds;
    if (right) controls.truck(right * step, 0, false);
    if (back) controls.forward(-back * step, false);
    if (rise) controls.elevate(rise * step, false);
    if (turn || nod) controls.rotate(turn * angle, nod * angle, false);
    const pressed = Math.sign(button(5) - button(4));
    if (pressed && pressed !== shoulders) changePace(pressed);
    shoulders = pressed;
    return { walks: right || back, climbs: rise };
  }

  // ---- map ------------------------------------------------------------------------------------------------------

  const map = element("canvas", { position: "fixed", left: "12px", bottom: "12px", width: "150px", height: "150px",
    borderRadius: "8px", border: "1px solid #fff4", background: "#000a", display: "none", pointerEvents: "none", zIndex: 5 });
  map.id = "cosmorama-map";
  map.width = map.height = 300;
  const picture = new Image();

  function drawMap() {
    map.style.display = config.map ? "block" : "none";
    if (!config.map) return;
    if (picture.src !== config.map.picture) picture.src = config.map.picture;
    const { eye, ahead } = pose(), key = [...eye, ...ahead, picture.complete, picture.src.length].join();
    if (key === drawnMap) return;
    drawnMap = key;
    const ctx = map.getContext("2d"), s = map.width;
    ctx.clearRect(0, 0, s, s);
    if (picture.complete && picture.naturalWidth) ctx.drawImage(picture, 0, 0, s, s);
    const onMap = (p) => {
      const [x, y, z] = config.map.pixels.map((row) => dot(row, p) + row[3]);
      return [x / z, y / z];
    };
    const inset = (v) => Math.min(s - 14, Math.max(14, v)), [x, y] = onMap(eye);
    const side = [0, 1, 2].map((i) => ahead[(i + 1) % 3] * config.up[(i + 2) % 3] - ahead[(i + 2) % 3] * config.up[(i + 1) % 3]);
    const spread = Math.tan(viser().camera.fov * Math.PI / 360) * viser().camera.aspect;
    const [left, tip, right] = [-spread, 0, spread].map((a) => onMap(eye.map((v, i) => v + 2 * config.map.arm * (ahead[i] + a * side[i]))));
    ctx.save();
    ctx.fillStyle = "#00a2ff66";
    ctx.beginPath();
    ctx.moveTo(x, y); ctx.lineTo(...left); ctx.lineTo(...right); ctx.closePath();
    ctx.fill();
    ctx.translate(inset(x), inset(y));
    ctx.rotate(Math.atan2(tip[1] - y, tip[0] - x));
    ctx.beginPath();
    ctx.moveTo(18, 0); ctx.lineTo(-12, 12); ctx.lineTo(-6, 0); ctx.lineTo(-12, -12); ctx.closePath();
    ctx.lineJoin = "round";
    for (const [color, width] of [["#000", 9], ["#fff", 5]]) { ctx.strokeStyle = color; ctx.lineWidth = width; ctx.stroke(); }
    ctx.fillStyle = "#00a2ff";
    ctx.fill();
    ctx.restore();
  }

  // ---- help and messages ----------------------------------------------------------------------------------------

  const help = element("div", { position: "fixed", left: "50%", top: "50%", transform: "translate(-50%,-50%)", display: "none",
    padding: "18px 24px", background: "#000d", color: "#eee", borderRadius: "10px", font: "14px/1.7 system-ui", zIndex: 100 });
  help.id = "cosmorama-help";
  const KEYS = [
    ["Walk", "W A S D", "Up, down", "E Q"], ["Look", "drag, arrows", "Step forward", "wheel"],
    ["Faster", "hold Shift", "Speed", "+ −"], ["Back to the photo", "H", "Walk or orbit", "O"],
    ["Stay on the ground", "G", "Slide", "right drag"], ["Play, pause", "P", "Undo, redo", "Ctrl+Z, Ctrl+Y"],
    ["Key frame", "K", "Screenshot", "C"], ["Fly to a camera", "click it", "Open a file", "drop it here"],
    ["Gamepad", "sticks, triggers", "Its speed", "shoulders"], ["All commands", "Ctrl+K", "This help", "?"],
  ];
  const cell = (text, i) => (i % 2 ? `<td style="padding-right: 28px"><kbd>${text}</kbd></td>` : `<td style="padding-right: 12px">${text}</td>`);
  help.innerHTML = `<table>${KEYS.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("")}</table>`;
  for (const key of help.querySelectorAll("kbd")) Object.assign(key.style, { font: "600 13px system-ui", color: "#9cf" });
  const note = element("div", { position: "fixed", left: "50%", top: "16px", transform: "translateX(-50%)", display: "none",
    padding: "8px 16px", background: "#000c", color: "#fff", borderRadius: "8px", font: "14px system-ui", overflowWrap: "anywhere", zIndex: 100 });
  note.id = "cosmorama-note";
  let noteTimer = 0;
  function say(text, seconds = 4) {
    note.textContent = text;
    note.style.display = "block";
    clearTimeout(noteTimer);
    noteTimer = setTimeout(() => { note.style.display = "none"; }, seconds * 1000);
  }

  // ---- files ----------------------------------------------------------------------------------------------------

  const channel = (path, query) => new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/cosmorama/${path}?${new URLSearchParams(query)}`);

  function send(file) {
    if (!config) return;
    if (!config.opens.some((suffix) => file.name.toLowerCase().endsWith(suffix))) {
      say(`${file.name} is not a splat file. These can be opened here: ${config.opens.join(", ")}. A photo is made into a scene with: cosmorama make photo.png`, 15);
      return;
    }
    const socket = channel("upload", { session: config.session, name: file.name, size: file.size });
    let answered = false;
    const wanted = () => !answered && socket.readyState === WebSocket.OPEN;
    socket.onopen = async () => {
      for (let at = 0; at < file.size; at += 1 << 20) {
        const part = await file.slice(at, at + (1 << 20)).arrayBuffer().catch(() => socket.close());
        while (wanted() && socket.bufferedAmount > 8 << 20) await new Promise((r) => setTimeout(r, 20));
        if (!wanted()) return;
        socket.send(part);
        say(`Opening ${file.name}: ${Math.round(100 * Math.min(1, (at + (1 << 20)) / file.size))} %`, 60);
      }
    };
    socket.onmessage = (e) => {
      const { error } = JSON.parse(e.data);
      answered = true;
      say(error ?? `${file.name} is open`, error ? 10 : 3);
    };
    socket.onclose = () => { if (!answered) say(`${file.name} could not be sent`, 10); };
  }

  addEventListener("dragover", (e) => { e.preventDefault(); say("Drop a splat file to open it", 1); });
  addEventListener("drop", (e) => { e.preventDefault(); if (e.dataTransfer.files[0]) send(e.dataTransfer.files[0]); });
  addEventListener("change", (e) => { if (e.target.id === "cosmorama-open" && e.target.files[0]) send(e.target.files[0]); }, true);

  // ---- what the server should know: how fast this browser draws -----------------------------------------------------

  let reports = null, frames = [];
  function report() {
    if (!reports || reports.session !== config.session) {
      reports = { session: config.session, socket: channel("page", { session: config.session }) };
      const gl = document.createElement("canvas").getContext("webgl2");
      const info = gl?.getExtension("WEBGL_debug_renderer_info");
      const renderer = gl ? gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER) : "none";
      reports.socket.onopen = () => reports.socket.send(JSON.stringify({ renderer }));
      return;
    }
    if (frames.length < 8 || reports.socket.readyState !== WebSocket.OPEN) return;
    const median = frames.sort((a, b) => a - b)[frames.length >> 1];
    frames = [];
    reports.socket.send(JSON.stringify({ frame_ms: median }));
  }

  function changePace(sign) {
    pace *= sign < 0 ? 1 / 1.3 : 1.3;
    say(`Speed × ${pace.toFixed(2)}`, 2);
  }

  // ---- keys -----------------------------------------------------------------------------------------------------

  addEventListener("keydown", (e) => {
    shift = e.shiftKey;
    if (typing(e)) return;
    keyed.add(e.code);
    if (e.key === "?") help.style.display = help.style.display === "none" ? "block" : "none";
    if (e.key === "+" || e.key === "=" || e.key === "-") changePace(e.key === "-" ? -1 : 1);
    if (e.key === "Escape") help.style.display = "none";
  }, true);
  addEventListener("keyup", (e) => { shift = e.shiftKey; keyed.delete(e.code); }, true);
  // Keys belong to the walk again after a click in the panel, unless it was to type something.
  addEventListener("click", (e) => {
    const control = e.detail && e.target.closest?.("button, [role=tab], [role=slider], [role=option], input[type=checkbox]");
    if (control) setTimeout(() => document.activeElement?.blur(), 50);
  }, true);
  addEventListener("blur", () => { keyed.clear(); shift = false; });
  addEventListener("wheel", (e) => {
    if (!config?.pivot || !walking() || e.target !== viser()?.canvas) return;
    e.preventDefault();
    e.stopImmediatePropagation();
    const controls = viser().cameraControl;
    place(controls, stands(controls), -Math.sign(e.deltaY) * 0.06 * config.pivot * haste(), NEAR);
  }, { capture: true, passive: false });

  // ---- opening --------------------------------------------------------------------------------------------------

  // The curtain falls with the first message; where it shows the first picture already, when the canvas shows one, too.
  let waited = 0;
  function opened(seconds) {
    const curtain = document.getElementById("cosmorama-opening");
    if (!curtain || curtain.style.opacity === "0") return;
    if (curtain.querySelector("img") && !drawn() && (waited += seconds) <= 5) return;
    Object.assign(curtain.style, { opacity: "0", transition: "opacity 0.25s", pointerEvents: "none" });
    setTimeout(() => curtain.remove(), 300);
  }

  // Whether the canvas shows a picture made for its shape, which changes when the panel docks.
  function drawn() {
    const canvas = viser()?.canvas, small = document.createElement("canvas").getContext("2d");
    if (!config.painted || !canvas) return Boolean(config.painted);
    if (!(Math.abs(config.painted * canvas.height / canvas.width - 1) < 0.01)) return false;
    small.drawImage(canvas, 0, 0, 16, 16);
    return small.getImageData(0, 0, 16, 16).data.some((value, i, all) => Math.abs(value - all[i % 4]) > 8);
  }

  // viser warns of browsers without a GPU; they get frames that the server renders, which the panel says.
  const isWarning = (n) => n.textContent.startsWith("Software WebGL");
  function dismissWarning() {
    [...document.querySelectorAll(".mantine-Notification-root")].find(isWarning)?.querySelector("button")?.click();
  }

  // viser freezes the panel, and what the server wants with it, until the connection is back.
  function sayIfLost() {
    const lost = document.getElementById("cosmorama-config")?.closest("[style*='pointer-events: none']");
    if (lost) say("The server has stopped or cannot be reached; waiting for it", 2);
  }

  // ---- every frame ----------------------------------------------------------------------------------------------

  let last = performance.now(), reported = -1e9;
  function frame(now) {
    requestAnimationFrame(frame);
    const elapsed = (now - last) / 1000, seconds = Math.min(0.1, elapsed), v = viser();
    if (keyed.size) frames.push(now - last);
    last = now;
    const text = document.getElementById("cosmorama-config")?.dataset.config ?? "";
    if (text && text !== configText) {
      const before = config;
      config = JSON.parse(configText = text);
      document.title = config.name ? `${config.name} – Cosmorama` : "Cosmorama";
      if (before && before.look !== config.look) say(walking() ? "Walking: drag to look around" : "Orbit: drag to turn the scene", 2);
    }
    if (!config) return;
    opened(seconds);
    if (now - reported > 1000) { reported = now; report(); dismissWarning(); sayIfLost(); }
    if (!v?.cameraControl || !v.camera) return;
    if (v.cameraControl !== adopted) v.cameraControl = adopted = adopt(v.cameraControl);
    placePivot(adopted);
    setDrag(adopted);
    stand(adopted, elapsed, gamepad(adopted, seconds));
    drawMap();
  }
  document.title = "Cosmorama";
  requestAnimationFrame(frame);
})();
