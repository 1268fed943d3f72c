"use strict";
(() => {
  const source = document.getElementById("mapdata");
  if (!source) return;
  const models = JSON.parse(source.textContent).map((m) => {
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const packed = new Int16Array(bytes(m.xyz).buffer);
    const xyz = new Float32Array(packed.length);
    for (let i = 0; i < packed.length; i++) xyz[i] = (packed[i] * m.reach) / 32767;
    const rgb = bytes(m.rgb);
    const color = new Uint32Array(rgb.length / 3);
    for (let i = 0; i < color.length; i++)
      color[i] = 0xff000000 | (rgb[3 * i + 2] << 16) | (rgb[3 * i + 1] << 8) | rgb[3 * i];
    return { xyz, color, cameras: m.cameras };
  });
  const box = document.querySelector(".canvasbox");
  const canvas = box.querySelector("canvas");
  const label = box.querySelector(".hover");
  const pen = canvas.getContext("2d");
  const start = { turn: -0.55, tilt: 0.5, distance: 2.5, target: [0, 0, 0] };
  let eye = { ...start, target: [0, 0, 0] };
  let model = models[0];
  let showCameras = true;
  let image, pixels, depth, queued = false, hovered = null;

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.max(1, Math.round(box.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(box.clientHeight * ratio));
    image = pen.createImageData(canvas.width, canvas.height);
    pixels = new Uint32Array(image.data.buffer);
    depth = new Float32Array(pixels.length);
    paint();
  }

  // Rows of the rotation from display to eye coordinates: right, up, towards the eye.
  function basis() {
    const [ct, st, cu, su] = [Math.cos(eye.turn), Math.sin(eye.turn), Math.cos(eye.tilt), Math.sin(eye.tilt)];
    return { r: [ct, st, 0], u: [-st * su, ct * su, cu], b: [st * cu, -ct * cu, su] };
  }

  function projector() {
    const { r, u, b } = basis();
    const [tx, ty, tz] = eye.target;
    const focal = 1.25 * Math.min(canvas.width, canvas.height * 1.3);
    return (p, q) => {
      const x = p[0] - tx, y = p[1] - ty, z = p[2] - tz;
      const d = eye.distance - (b[0] * x + b[1] * y + b[2] * z);
      q[0] = canvas.width / 2 + (focal * (r[0] * x + r[1] * y + r[2] * z)) / d;
      q[1] = canvas.height / 2 - (focal * (u[0] * x + u[1] * y + u[2] * z)) / d;
      q[2] = d;
      return d > 0.02;
    };
  }

  function drawPoints(project) {
    const w = canvas.width, h = canvas.height;
    const { xyz, color } = model;
    pixels.fill(0);
    depth.fill(1e9);
    const p = [0, 0, 0], q = [0, 0, 0];
    const few = Math.min(2, Math.max(1, Math.sqrt(20000 / Math.max(color.length, 1))));
    const size = 0.0042 * Math.min(w, h * 1.3) * few;
    for (let i = 0; i < color.length; i++) {
      p[0] = xyz[3 * i]; p[1] = xyz[3 * i + 1]; p[2] = xyz[3 * i + 2];
      if (!project(p, q)) continue;
      const s = Math.max(1, Math.min(9, Math.round((size * 2.2) / q[2])));
      const x0 = Math.round(q[0] - s / 2), y0 = Math.round(q[1] - s / 2);
      if (x0 < 0 || y0 < 0 || x0 + s > w || y0 + s > h) continue;
      for (let y = y0; y < y0 + s; y++)
        for (let k = y * w + x0, end = k + s; k < end; k++)
          if (q[2] < depth[k]) { depth[k] = q[2]; pixels[k] = color[i]; }
    }
    pen.putImageData(image, 0, 0);
  }

  function drawCameras(project) {
    const ratio = canvas.width / box.clientWidth;
    pen.lineJoin = "round";
    for (const camera of model.cameras) {
      const tip = [0, 0, 0];
      const corners = [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]];
      let seen = project(camera.c, tip);
      camera.q.forEach((c, i) => { seen = project(c, corners[i]) && seen; });
      camera.at = seen ? tip : null;
      if (!seen) continue;
      const hot = camera === hovered;
      pen.strokeStyle = style(hot ? "--hot" : "--camera");
      pen.lineWidth = (hot ? 2.4 : 1.3) * ratio;
      pen.beginPath();
      corners.forEach((c, i) => { i ? pen.lineTo(c[0], c[1]) : pen.moveTo(c[0], c[1]); });
      pen.closePath();
      pen.globalAlpha = 0.18;
      pen.fillStyle = pen.strokeStyle;
      pen.fill();
      pen.globalAlpha = 1;
      for (const c of corners) { pen.moveTo(tip[0], tip[1]); pen.lineTo(c[0], c[1]); }
      pen.stroke();
    }
  }

  function paint() {
    const project = projector();
    drawPoints(project);
    if (showCameras) drawCameras(project);
  }

  function draw() {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      paint();
    });
  }

  const held = new Map();
  let pinch = 0;
  const gap = () => {
    const [a, b] = [...held.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  const zoom = (factor) => {
    eye.distance = Math.max(0.15, Math.min(12, eye.distance * factor));
    draw();
  };
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    held.set(e.pointerId, { x: e.clientX, y: e.clientY });
    if (held.size === 2) pinch = gap();
  });
  const release = (e) => held.delete(e.pointerId);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointermove", (e) => {
    const last = held.get(e.pointerId);
    if (!last) return hover(e);
    const dx = e.clientX - last.x, dy = e.clientY - last.y;
    held.set(e.pointerId, { x: e.clientX, y: e.clientY });
    if (held.size === 2) {
      const now = gap();
      zoom(pinch / Math.max(now, 1));
      pinch = now;
    } else if (e.shiftKey || e.buttons & 2) {
      const { r, u } = basis();
      const step = eye.distance / (1.25 * Math.min(box.clientWidth, box.clientHeight * 1.3));
      for (let k = 0; k < 3; k++) eye.target[k] += step * (dy * u[k] - dx * r[k]);
    } else {
      eye.turn -= dx * 0.007;
      eye.tilt = Math.max(-1.5, Math.min(1.57, eye.tilt + dy * 0.007));
    }
    draw();
  });
  canvas.addEventListener("contextmenu", (e) => e.preventDefault());
  canvas.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && !e.metaKey) return;
    e.preventDefault();
    zoom(Math.exp(e.deltaY * 0.0022));
  }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const turn = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[e.key];
    if (turn) {
      e.preventDefault();
      eye.turn += turn[0];
      eye.tilt = Math.max(-1.5, Math.min(1.57, eye.tilt + turn[1]));
      draw();
    } else if (e.key === "+") zoom(0.85);
    else if (e.key === "-") zoom(1.18);
  });

  function hover(e) {
    const frame = canvas.getBoundingClientRect();
    const ratio = canvas.width / frame.width;
    const x = (e.clientX - frame.left) * ratio, y = (e.clientY - frame.top) * ratio;
    let best = null, nearest = 16 * ratio;
    for (const camera of showCameras ? model.cameras : []) {
      if (!camera.at) continue;
      const d = Math.hypot(camera.at[0] - x, camera.at[1] - y);
      if (d < nearest) { nearest = d; best = camera; }
    }
    if (best !== hovered) { hovered = best; draw(); }
    label.hidden = !best;
    if (best) {
      label.textContent = best.n;
      label.style.left = `${e.clientX - frame.left + 12}px`;
      label.style.top = `${e.clientY - frame.top + 12}px`;
    }
  }
  canvas.addEventListener("pointerleave", () => { hovered = null; label.hidden = true; draw(); });

  box.querySelector(".tools").addEventListener("click", (e) => {
    const { do: what, model: number } = e.target.dataset;
    if (what === "cameras") {
      showCameras = !showCameras;
      e.target.classList.toggle("on", showCameras);
    } else if (what === "top") {
      eye = { turn: 0, tilt: Math.PI / 2, distance: 2.9, target: [0, 0, 0] };
    } else if (what === "reset") {
      eye = { ...start, target: [0, 0, 0] };
    } else if (number !== undefined) {
      model = models[Number(number)];
      hovered = null;
      document.querySelectorAll(".models button").forEach((b) => b.classList.toggle("on", b === e.target));
      document.querySelectorAll(".planbox").forEach((p) => { p.hidden = p.dataset.model !== number; });
    }
    draw();
  });
  dark.addEventListener("change", draw);
  new ResizeObserver(resize).observe(box);
  resize();
})();
