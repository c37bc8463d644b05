// The page of a served bundle: send a photo, show its answer. It keeps the answers of this visit only.
"use strict";

const at = (id) => document.getElementById(id);

function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1\u00a0%";
  if (share < 1 && share >= 0.9995) return "> 99.9\u00a0%";
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

const WANTED = ["photo", "mask", "overlay", "heatmap"].map((name) => `picture=${name}`).join("&");
const TRIES = 4;
const answers = [];
let model = null;
let current = null;
let queue = Promise.resolve();

function element(tag, text = "", fields = {}) {
  const made = Object.assign(document.createElement(tag), fields);
  if (text) made.textContent = text;
  return made;
}

function complain(text) {
  at("problem").textContent = text;
  at("problem").hidden = !text;
}

async function reasonOf(response) {
  try {
    return (await response.json()).reason;
  } catch {
    return `the server answered ${response.status}.`;
  }
}

async function ask(file) {
  for (let number = 1; ; number += 1) {
    const form = new FormData();
    form.append("file", file);
    const response = await fetch(`api/predict?${WANTED}`, { method: "POST", body: form });
    if (response.ok) return response.json();
    if (response.status === 401) window.location.assign("login");
    const wait = Number(response.headers.get("Retry-After"));
    if (response.status !== 503 || number === TRIES || !wait) throw new Error(await reasonOf(response));
    at("remark").textContent = `The server is busy. Trying again in ${wait} seconds.`;
    await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
  }
}

async function send(file) {
  complain("");
  if (model && file.size > model.max_bytes) {
    const limit = `${+(model.max_bytes / 2 ** 20).toPrecision(3)} MB`;
    complain(`${file.name}: the file is larger than ${limit}; send a smaller image.`);
    return;
  }
  preview(file);
  try {
    const answer = await ask(file);
    answers.unshift(answer);
    show(answer);
  } catch (error) {
    const reason = error instanceof TypeError ? "the server cannot be reached." : error.message;
    complain(reason.includes(file.name) ? reason : `${file.name}: ${reason}`);
    if (current) show(current);
    else reset();
  } finally {
    at("busy").hidden = true;
    at("stage").removeAttribute("aria-busy");
  }
}

// The photo is shown while its answer is computed; a browser cannot show every image that the server reads.
function preview(file) {
  open();
  const address = URL.createObjectURL(file);
  const picture = at("picture");
  picture.onload = picture.onerror = () => URL.revokeObjectURL(address);
  picture.alt = `Photo ${file.name}`;
  picture.src = address;
  at("layers").disabled = true;
  at("legend").replaceChildren();
  at("missing").textContent = "";
  at("stage").setAttribute("aria-busy", "true");
  at("busy").hidden = false;
  at("result").classList.remove("unknown");
  at("kicker").textContent = file.name;
  at("verdict").textContent = "Reading the photo";
  at("remark").textContent = "";
  for (const id of ["classes", "facts", "downloads"]) at(id).replaceChildren();
}

function open() {
  at("stage").classList.remove("empty");
  at("invite").hidden = true;
  at("viewer").hidden = false;
}

function reset() {
  at("stage").classList.add("empty");
  at("invite").hidden = false;
  at("viewer").hidden = true;
  at("picture").removeAttribute("src");
  at("kicker").textContent = "Answer";
  at("verdict").textContent = "No photo yet";
  at("remark").textContent = summary();
}

function summary() {
  if (!model) return "";
  const task = `The model tells ${model.classes.length} classes apart${model.masks.length ? " and draws masks" : ""}.`;
  const found = model.scores.find(({ metric, part }) => metric === "accuracy" && part !== "val");
  if (!found) return task;
  const [value, low, high] = [found.value, found.low, found.high].map((share) => `${(100 * share).toFixed(0)}\u00a0%`);
  return `${task} Accuracy on ${found.images} images that it had not seen: ${value} (${low} to ${high}).`;
}

function show(answer) {
  current = answer;
  const unknown = answer.answer !== answer.label;
  open();
  at("result").classList.toggle("unknown", unknown);
  at("kicker").textContent = answer.file;
  at("verdict").textContent = unknown ? "Unknown" : answer.label;
  const sure = `${percent(answer.probability)} sure`;
  at("remark").textContent = unknown
    ? `Closest is ${answer.label} with ${percent(answer.probability)}, below the threshold of ${percent(answer.threshold)}. ` +
      "The photo may show none of the classes."
    : sure;
  showClasses(answer);
  showFacts(answer);
  showLayers(answer);
  showStrip();
}

function showClasses(answer) {
  const rows = answer.classes.map(({ name, probability }, index) => {
    const row = element("li");
    const line = element("div");
    line.append(element("span", name), element("b", percent(probability)));
    const track = element("span", "", { className: "track" });
    track.setAttribute("aria-hidden", "true");
    const bar = element("i");
    bar.style.width = `${100 * probability}%`;
    track.append(bar);
    if (index === 0 && answer.threshold) {
      const mark = element("u");
      mark.style.left = `${100 * answer.threshold}%`;
      track.append(mark);
      track.title = `The line is the threshold for unknown, ${percent(answer.threshold)}`;
    }
    row.append(line, track);
    return row;
  });
  at("classes").replaceChildren(...rows);
}

function showFacts(answer) {
  const shares = Object.entries(answer.mask_shares);
  const rows = [["Photo", `${answer.width} × ${answer.height}`]];
  if (shares.length) rows.push(...shares.map(([name, share]) => [`Covered by ${name}`, percent(share)]));
  else if (answer.mask_share !== null) rows.push(["Covered by the mask", percent(answer.mask_share)]);
  if (answer.threshold) rows.push(["Unknown below", percent(answer.threshold)]);
  rows.push(["Time", `${answer.seconds.toFixed(2)} s`]);
  const pairs = rows.map(([name, value]) => {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  });
  at("facts").replaceChildren(...pairs);
  const stem = answer.file.replace(/\.[^.]*$/, "");
  const links = [];
  if (answer.pictures.mask) {
    links.push(element("a", "Save the mask", { href: answer.pictures.mask, download: `${stem}-mask.png` }));
  }
  const { pictures, ...numbers } = answer;
  const json = `data:application/json,${encodeURIComponent(JSON.stringify(numbers, null, 2))}`;
  links.push(element("a", "Save the answer (JSON)", { href: json, download: `${stem}.json` }));
  at("downloads").replaceChildren(...links);
}

function showLayers(answer) {
  at("layers").disabled = false;
  for (const label of at("layers").querySelectorAll("[data-layer]")) {
    label.hidden = !(label.dataset.layer in answer.pictures);
  }
  const chosen = document.querySelector("input[name=layer]:checked").value;
  const layer = chosen in answer.pictures ? chosen : "photo";
  document.querySelector(`input[name=layer][value=${layer}]`).checked = true;
  const said = { photo: "Photo", overlay: "Mask on the photo", heatmap: "Heat map on the photo" };
  at("picture").onload = at("picture").onerror = null;
  at("picture").src = answer.pictures[layer];
  at("picture").alt = `${said[layer]} ${answer.file}, answered ${answer.answer}`;
  at("missing").textContent = answer.missing.heatmap ? `No heat map: ${answer.missing.heatmap}` : "";
  showLegend(layer, answer);
}

function showLegend(layer, answer) {
  const parts = [];
  if (layer === "overlay") {
    for (const { name, colour } of model?.masks ?? []) {
      const key = element("span");
      const swatch = element("i");
      swatch.style.background = colour;
      key.append(swatch, name);
      parts.push(key);
    }
  } else if (layer === "heatmap") {
    const ramp = element("i", "", { className: "ramp" });
    ramp.style.background = `linear-gradient(90deg, ${(model?.heat ?? []).join(", ")})`;
    const key = element("span");
    key.append("little", ramp, "much");
    parts.push(element("span", `Evidence for ${answer.label}:`), key);
  }
  at("legend").replaceChildren(...parts);
}

function showStrip() {
  at("recent").hidden = answers.length < 2;
  const tiles = answers.map((answer) => {
    const tile = element("button", "", { type: "button", title: answer.file });
    tile.append(element("img", "", { src: answer.pictures.photo, alt: "" }), element("span", answer.answer));
    tile.setAttribute("aria-label", `${answer.file}: ${answer.answer}`);
    tile.setAttribute("aria-current", String(answer === current));
    tile.addEventListener("click", () => show(answer));
    const item = element("li");
    item.append(tile);
    return item;
  });
  at("strip").replaceChildren(...tiles);
}

function describe(facts) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const name of ["score", "value", "95 % interval", "images"]) head.append(element("th", name, { scope: "col" }));
  const body = table.createTBody();
  const scores = facts.scores.filter(({ part }) => part !== "val");
  for (const { part, images, metric, value, low, high } of scores) {
    const row = body.insertRow();
    const words = [metric, value.toFixed(3), `${low.toFixed(3)} to ${high.toFixed(3)}`, `${images} (${part})`];
    for (const text of words) row.insertCell().textContent = text;
  }
  const scroll = element("div", "", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Scores" });
  scroll.append(table);
  const names = element("ul", "", { className: "names" });
  names.append(...facts.classes.map((name) => element("li", name)));
  const about = `${facts.classes.length} classes, network ${facts.encoder}, licence: ${facts.licence}.`;
  at("about").replaceChildren(element("p", about), ...(scores.length ? [scroll] : []), names);
  const limit = `${+(facts.max_bytes / 2 ** 20).toPrecision(3)} MB`;
  at("hint").textContent = `JPEG, PNG, TIFF or WebP, up to ${limit}.`;
}

function take(files) {
  for (const file of files) queue = queue.then(() => send(file));
}

function listen() {
  const stage = at("stage");
  for (const id of ["file", "camera"]) {
    at(id).addEventListener("change", ({ target }) => {
      take([...target.files]);
      target.value = "";
    });
  }
  at("again").addEventListener("click", () => at("file").click());
  at("layers").addEventListener("change", () => current && showLayers(current));
  for (const type of ["dragenter", "dragover"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      stage.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => event.relatedTarget || stage.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
}

listen();
fetch("api/model")
  .then(async (response) => {
    if (!response.ok) throw new Error(await reasonOf(response));
    model = await response.json();
    describe(model);
    if (!current) at("remark").textContent = summary();
  })
  .catch((error) => complain(`The model cannot be described: ${error.message}`));
