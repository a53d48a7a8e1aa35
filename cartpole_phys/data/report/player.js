// Plays the recorded episodes on a canvas. The data stand in the page as JSON and base64.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("episodes").textContent);
  const canvas = document.getElementById("stage");
  const pen = canvas.getContext("2d");
  const choice = document.getElementById("episode");
  const slider = document.getElementById("step");
  const button = document.getElementById("play");
  const told = document.getElementById("told");

  // Four numbers a row, each a 16-bit share of its scale: x, θ, force, push.
  const bytes = Uint8Array.from(atob(data.rows), (letter) => letter.charCodeAt(0));
  const shares = new Int16Array(bytes.buffer);
  const value = (row, column) => (shares[4 * row + column] / 32767) * data.scales[column];

  let playing = false;
  let step = 0;
  let last = 0;
  let owed = 0; // seconds that were not played yet

  const episode = () => data.episodes[Number(choice.value)];
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function arrow(x, y, length, name) {
    if (Math.abs(length) < 1) return;
    const tip = Math.sign(length) * Math.min(8, Math.abs(length));
    pen.strokeStyle = pen.fillStyle = color(name);
    pen.lineWidth = 3;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x + length - tip, y);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(x + length, y);
    pen.lineTo(x + length - tip, y - 6);
    pen.lineTo(x + length - tip, y + 6);
    pen.fill();
  }

  function draw() {
    const row = episode().first + step;
    const [x, theta, force, push] = [0, 1, 2, 3].map((column) => value(row, column));
    const scale = canvas.width / (2 * data.limit + 1.2); // pixels a metre
    const ground = canvas.height * 0.72;
    const middle = canvas.width / 2 + x * scale;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.lineWidth = 2;
    pen.strokeStyle = color("--line");
    pen.beginPath();
    pen.moveTo(0, ground);
    pen.lineTo(canvas.width, ground);
    for (const side of [-1, 1]) {
      const end = canvas.width / 2 + side * data.limit * scale;
      pen.moveTo(end, ground - 14);
      pen.lineTo(end, ground + 14);
    }
    pen.stroke();
    pen.fillStyle = color("--faint");
    pen.fillRect(middle - 0.2 * scale, ground - 0.15 * scale, 0.4 * scale, 0.15 * scale);
    pen.strokeStyle = color("--data");
    pen.lineWidth = 6;
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(middle, ground - 0.15 * scale);
    pen.lineTo(
      middle + Math.sin(theta) * data.length * scale,
      ground - 0.15 * scale - Math.cos(theta) * data.length * scale,
    );
    pen.stroke();
    arrow(middle, ground + 0.25 * scale, (force / data.scales[2]) * scale, "--force");
    arrow(middle, ground + 0.45 * scale, (push / data.scales[3]) * scale, "--push");
    slider.value = String(step);
    told.textContent =
      `step ${step} of ${episode().steps - 1}: x ${x.toFixed(2)} m, θ ${theta.toFixed(3)} rad, ` +
      `force ${force.toFixed(1)} N, push ${push.toFixed(1)} N`;
  }

  function setPlaying(now) {
    playing = now;
    button.textContent = playing ? "Pause" : "Play";
    if (playing) {
      if (step >= episode().steps - 1) step = 0;
      last = performance.now();
      owed = 0;
      requestAnimationFrame(tick);
    }
  }

  function tick(now) {
    if (!playing) return;
    owed += (now - last) / 1000;
    last = now;
    const steps = Math.floor(owed / data.timeStep);
    owed -= steps * data.timeStep;
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
  choice.addEventListener("change", () => {
    setPlaying(false);
    choose();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  choose();
})();
