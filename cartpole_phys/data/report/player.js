// Plays recorded episodes on a canvas. The page embeds the data as JSON and base64.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("episodes").textContent);
  const canvas = document.getElementById("stage");
  const context = canvas.getContext("2d");
  const selector = document.getElementById("episode");
  const slider = document.getElementById("step");
  const button = document.getElementById("play");
  const status = document.getElementById("status");

  // Four 16-bit numbers per row, relative to their scales: x, θ, force, push.
  const bytes = Uint8Array.from(atob(data.rows), (letter) => letter.charCodeAt(0));
  const shares = new Int16Array(bytes.buffer);
  const value = (row, column) => (shares[4 * row + column] / 32767) * data.scales[column];

  let playing = false;
  let step = 0;
  let last = 0;
  let elapsed = 0; // seconds not yet played

  const episode = () => data.episodes[Number(selector.value)];
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function arrow(x, y, length, name) {
    if (Math.abs(length) < 1) return;
    const tip = Math.sign(length) * Math.min(8, Math.abs(length));
    context.strokeStyle = context.fillStyle = color(name);
    context.lineWidth = 3;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + length - tip, y);
    context.stroke();
    context.beginPath();
    context.moveTo(x + length, y);
    context.lineTo(x + length - tip, y - 6);
    context.lineTo(x + length - tip, y + 6);
    context.fill();
  }

  function draw() {
    const row = episode().first + step;
    const [x, theta, force, push] = [0, 1, 2, 3].map((column) => value(row, column));
    const scale = canvas.width / (2 * data.limit + 1.2); // pixels per meter
    const ground = canvas.height * 0.72;
    const middle = canvas.width / 2 + x * scale;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.lineWidth = 2;
    context.strokeStyle = color("--line");
    context.beginPath();
    context.moveTo(0, ground);
    context.lineTo(canvas.width, ground);
    for (const side of [-1, 1]) {
      const end = canvas.width / 2 + side * data.limit * scale;
      context.moveTo(end, ground - 14);
      context.lineTo(end, ground + 14);
    }
    context.stroke();
    context.fillStyle = color("--faint");
    context.fillRect(middle - 0.2 * scale, ground - 0.15 * scale, 0.4 * scale, 0.15 * scale);
    context.strokeStyle = color("--data");
    context.lineWidth = 6;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(middle, ground - 0.15 * scale);
    context.lineTo(
      middle + Math.sin(theta) * data.length * scale,
      ground - 0.15 * scale - Math.cos(theta) * data.length * scale,
    );
    context.stroke();
    arrow(middle, ground + 0.25 * scale, (force / data.scales[2]) * scale, "--force");
    arrow(middle, ground + 0.45 * scale, (push / data.scales[3]) * scale, "--push");
    slider.value = String(step);
    status.textContent =
      `step ${step} of ${episode().steps - 1}: x ${x.toFixed(2)} m, θ ${theta.toFixed(3)} rad, ` +
      `force ${force.toFixed(1)} N, push ${push.toFixed(1)} N`;
  }

  function setPlaying(now) {
    playing = now;
    button.textContent = playing ? "Pause" : "Play";
    if (playing) {
      if (step >= episode().steps - 1) step = 0;
      last = performance.now();
      elapsed = 0;
      requestAnimationFrame(tick);
    }
  }

  function tick(now) {
    if (!playing) return;
    elapsed += (now - last) / 1000;
    last = now;
    const steps = Math.floor(elapsed / data.timeStep);
    elapsed -= steps * data.timeStep;
    step = Math.min(step + steps, episode().steps - 1);
    draw();
    if (step >= episode().steps - 1) setPlaying(false);
    else requestAnimationFrame(tick);
  }

  function choose() {
    step = 0;
    slider.max = String(episode().steps - 1);
    draw();
  }

  button.addEventListener("click", () => setPlaying(!playing));
  slider.addEventListener("input", () => {
    setPlaying(false);
    step = Number(slider.value);
    draw();
  });
  selector.addEventListener("change", () => {
    setPlaying(false);
    choose();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  choose();
})();
