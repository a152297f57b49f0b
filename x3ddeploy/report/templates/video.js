"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const video = document.querySelector("video"), canvas = document.querySelector("canvas"), screen_ = document.querySelector(".screen");

function make(tag, parent, text = "", tone = "") {
  const node = parent.appendChild(document.createElement(tag));
  node.textContent = text;
  if (tone) node.className = tone;
  return node;
}
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;
const toneOf = (name) => (name >= 0 && name < data.curves ? `tone${name}` : "");
const nameOf = (name) => (name < 0 ? "no person" : data.names[name]);
const whoOf = (row) => (row.person === null ? "all" : `person ${row.person}`);

// Times and frames. A video that does not say its rate has one once its length is known.
const fps = () => data.fps ?? (video.duration > 0 ? data.frames / video.duration : 30);
const seconds = (frame) => frame / fps();
const shown = (time) => `${time.toFixed(2)} s`;
const frameNow = () => Math.min(data.frames - 1, Math.max(0, Math.floor(video.currentTime * fps() + 0.01)));
function jump(frame) {
  const whole = Math.min(data.frames - 1, Math.max(0, Math.floor(frame)));
  video.currentTime = (whole + 0.5) / fps(); // its middle: rounding cannot show the frame before
  update(whole);
}
const pointed = (event, node) => {
  const box = node.getBoundingClientRect();
  return ((event.clientX - box.left) / box.width) * data.frames;
};
const windowAt = (row, frame) => {
  const span = row.spans.find(([start, end]) => start <= frame && frame < end);
  return span && row.windows[span[2]];
};

// Joints, in shares of the picture.
let joints = null;
if (data.skeletons) {
  const bytes = Uint8Array.from(atob(data.skeletons.data), (char) => char.charCodeAt(0));
  joints = new Int16Array(bytes.buffer);
  at("skeletons").hidden = false;
}
function draw(frame) {
  const { width, height } = canvas.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  if (!joints || !at("skeletons").firstElementChild.checked) return;
  const pen = canvas.getContext("2d"), { persons, joints: count, limbs } = data.skeletons;
  const thick = Math.max(1.5, Math.min(canvas.width, canvas.height) / 180);
  for (let person = 0; person < persons; person++) {
    const place = (joint) => {
      const index = 2 * ((frame * persons + person) * count + joint);
      return joints[index] === -32768 ? null : [joints[index] * canvas.width / 10000, joints[index + 1] * canvas.height / 10000];
    };
    const lines = new Path2D(), dots = new Path2D();
    for (const [first, second] of limbs) {
      const from = place(first), to = place(second);
      if (from && to) { lines.moveTo(...from); lines.lineTo(...to); }
    }
    for (let joint = 0; joint < count; joint++) {
      const there = place(joint);
      if (there) { dots.moveTo(...there); dots.arc(...there, thick + 1, 0, 7); }
    }
    pen.strokeStyle = pen.fillStyle = data.colours[person % data.colours.length];
    pen.lineWidth = thick;
    pen.stroke(lines);
    pen.fill(dots);
  }
}

// Labels over time: neighbours that say the same are one piece.
const heads = [], titles = [];
for (const row of data.rows) {
  const who = make("span", at("rows"), "", "who");
  if (row.person !== null) make("i", who, "", "swatch").style.background = data.colours[row.person % data.colours.length];
  who.append(whoOf(row));
  const lane = make("div", at("rows"), "", "lane");
  lane.setAttribute("role", "group");
  lane.setAttribute("aria-label", `labels of ${whoOf(row)}`);
  const pieces = [];
  for (const [start, end, number] of row.spans) {
    const last = pieces.at(-1), [, , name, score] = row.windows[number];
    if (last && last.end === start && last.name === name) { last.end = end; last.scores.push(score); }
    else pieces.push({ start, end, name, scores: [score] });
  }
  const buttons = pieces.map(({ start, end, name, scores }, index) => {
    const button = make("button", lane, nameOf(name), name < 0 ? "nobody" : toneOf(name));
    button.style.left = `${(100 * start) / data.frames}%`;
    button.style.width = `${(100 * (end - start)) / data.frames}%`;
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    titles.push(() => {
      const said = name < 0 ? "" : ` ${percent(mean)}`;
      button.title = `${nameOf(name)}${said}, ${seconds(start).toFixed(2)}-${seconds(end).toFixed(2)} s`;
      button.setAttribute("aria-label", button.title);
    });
    button.tabIndex = index ? -1 : 0;
    button.addEventListener("click", (event) => jump(event.detail ? pointed(event, lane) : start));
    return button;
  });
  lane.addEventListener("click", (event) => { if (event.target === lane) jump(pointed(event, lane)); });
  lane.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], here = buttons.indexOf(document.activeElement);
    if (!step || !buttons[here + step]) return;
    event.preventDefault();
    buttons[here].tabIndex = -1;
    buttons[here + step].tabIndex = 0;
    buttons[here + step].focus();
    jump(pieces[here + step].start);
  });
  heads.push(make("div", lane, "", "head"));
}

// Scores over time: a window's stands at its middle; the first and the last one's reach to where nobody was seen.
const plot = at("plot"), select = at("choice").lastElementChild;
function element(tag, parent, attributes) {
  const node = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
function curves(row) {
  plot.querySelector("svg")?.remove();
  const svg = element("svg", plot, { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const y of [1, 500, 999]) element("line", svg, { x1: 0, x2: 1000, y1: y, y2: y });
  const runs = []; // without a break
  for (const [start, end, number] of row ? row.spans : []) {
    if (row.windows[number][2] < 0) continue;
    const point = [(row.windows[number][0] + row.windows[number][1]) / 2, row.windows[number][4]];
    const run = runs.at(-1);
    if (run?.end === start) { run.end = end; run.points.push(point); }
    else runs.push({ start, end, points: [point] });
  }
  for (let name = data.curves - 1; name >= 0; name--) {
    for (const { start, end, points } of runs) {
      const ends = [[start, points[0][1]], ...points, [end, points.at(-1)[1]]];
      const text = ends.map(([x, scores]) => {
        const inside = Math.min(end, Math.max(start, x));
        return `${((1000 * inside) / data.frames).toFixed(2)},${(1000 * (1 - scores[name])).toFixed(1)}`;
      });
      element("polyline", svg, { points: text.join(" "), class: toneOf(name) });
    }
  }
}
data.rows.forEach((row, index) => { make("option", select, whoOf(row)).value = index; });
at("choice").hidden = data.rows.length < 2;
select.addEventListener("change", () => curves(data.rows[select.value]));
curves(data.rows[0]);
for (let name = 0; name < data.curves; name++) {
  const entry = make("span", at("key"));
  make("i", entry, "", `swatch ${toneOf(name)}`);
  entry.append(data.names[name]);
}
heads.push(make("div", plot, "", "head"));
let dragged = false;
plot.addEventListener("pointerdown", (event) => { dragged = true; plot.setPointerCapture(event.pointerId); jump(pointed(event, plot)); });
plot.addEventListener("pointermove", (event) => { if (dragged) jump(pointed(event, plot)); });
for (const end of ["pointerup", "pointercancel"]) plot.addEventListener(end, () => { dragged = false; });
plot.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };
  if (!(event.key in steps)) return;
  event.preventDefault();
  jump(frameNow() + steps[event.key]);
});
plot.setAttribute("aria-valuemax", data.frames - 1);

// What needs the frame rate, which may come with the video.
function ruler() {
  at("ruler").textContent = "";
  const length = seconds(data.frames), power = 10 ** Math.floor(Math.log10(length / 6));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= length / 6.001);
  for (let time = 0; time <= length * 0.98; time += step) {
    make("span", at("ruler"), `${+time.toFixed(3)}${time ? "" : " s"}`).style.left = `${(100 * time) / length}%`;
  }
  at("about").textContent = `${data.frames} frames, ${length.toFixed(2)} s${data.fps ? `, ${+data.fps.toFixed(2)} frames a second` : ""}`;
  for (const entitle of titles) entitle();
  for (const button of document.querySelectorAll(".lane button")) button.classList.toggle("slim", button.clientWidth < 30);
}

let last = -1;
function update(frame) {
  draw(frame);
  if (frame === last) return;
  last = frame;
  for (const head of heads) head.style.left = `${(100 * (frame + 0.5)) / data.frames}%`;
  at("clock").textContent = `${shown(seconds(frame))}, frame ${frame}`;
  at("now").textContent = "";
  const said = [];
  for (const row of data.rows) {
    const found = windowAt(row, frame), box = make("div", at("now"), "", "said");
    if (data.rows.length > 1 || row.person !== null) {
      const who = make("div", box, "", "who");
      make("i", who, "", "swatch").style.background = data.colours[row.person % data.colours.length];
      who.append(whoOf(row));
    }
    const label = found ? nameOf(found[2]) : "not seen";
    make("b", box, label).title = label;
    said.push(`${whoOf(row)}: ${label}`);
    const best = found ? found[4].map((score, name) => [score, name]).sort((a, b) => b[0] - a[0]).slice(0, 3) : [];
    if (found && found[2] >= data.curves) best.unshift([found[3], found[2]]);
    for (const [score, name] of best) {
      const line = make("div", box, "", `score ${toneOf(name)}`);
      make("span", line, data.names[name]).title = data.names[name];
      make("b", make("i", line)).style.width = `${100 * score}%`;
      make("span", line, percent(score));
    }
  }
  plot.setAttribute("aria-valuenow", frame);
  plot.setAttribute("aria-valuetext", `${shown(seconds(frame))}, ${said.join(", ")}`);
}

screen_.style.aspectRatio = `${data.width} / ${data.height}`;
screen_.style.maxWidth = `calc(70vh * ${data.width / data.height})`;
at("skeletons").addEventListener("change", () => draw(frameNow()));
at("unplayable").hidden = !video.error;
video.addEventListener("error", () => { at("unplayable").hidden = false; });
video.addEventListener("loadedmetadata", () => { ruler(); update(frameNow()); });
for (const name of ["seeked", "timeupdate"]) video.addEventListener(name, () => { if (!video.seeking) update(frameNow()); });
video.addEventListener("play", function tick() {
  update(frameNow());
  if (!video.paused && !video.ended) requestAnimationFrame(tick);
});
addEventListener("resize", () => { ruler(); draw(frameNow()); });
ruler();
update(0);
